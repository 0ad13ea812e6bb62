package readtest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Env is the environment variable that makes a test binary the helper process
// of a case, whose role it names.
const Env = "READTEST_ROLE"

// Roles. Those that end in a colon are followed by an argument.
const (
	roleServe = "serve" // serve as in says
	roleRead  = "read:" // read all of a file
	roleHog   = "hog:"  // use memory
	hogTime   = 3 * time.Second
)

// Role plays the role that Env names and tells whether there was one: TestMain
// then returns without running tests.
func Role(role string, in io.Reader, out, errs io.Writer) bool {
	if role == "" {
		return false
	}
	var err error
	if name, ok := strings.CutPrefix(role, roleRead); ok {
		_, err = os.ReadFile(name)
	} else if mib, ok := strings.CutPrefix(role, roleHog); ok {
		err = hog(mib, out)
	} else {
		err = serve(in, out)
	}
	if err != nil {
		fmt.Fprintln(errs, role, err)
	}
	return true
}

// hog uses so many MiB of memory, says so, and keeps them for a while.
func hog(mib string, out io.Writer) error {
	var size int
	if _, err := fmt.Sscan(mib, &size); err != nil {
		return err
	}
	mem, err := unix.Mmap(-1, 0, size<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "full"); err != nil {
		return err
	}
	time.Sleep(hogTime)
	return unix.Munmap(mem)
}
