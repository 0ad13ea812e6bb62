package readtest

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Env is the environment variable that makes a test binary the helper process
// of a case, whose role it names.
const Env = "READTEST_ROLE"

// Roles. Those that end in a colon are followed by an argument.
const (
	roleServe = "serve" // serve as in says
	roleRead  = "read:" // read all of a file
	roleHog   = "hog:"  // use so many MiB of memory until the end of in

	hogIsFull = "full"
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
		err = hog(mib, in, out)
	} else {
		err = serve(in, out)
	}
	if err != nil {
		fmt.Fprintln(errs, role, err)
	}
	return true
}

// hog uses memory, says how much, and keeps it.
func hog(mib string, in io.Reader, out io.Writer) error {
	const piece = 32
	var size int
	if _, err := fmt.Sscan(mib, &size); err != nil {
		return err
	}
	for done := 0; done < size; done += piece {
		_, err := unix.Mmap(-1, 0, min(piece, size-done)<<20, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, done, "MiB")
	}
	fmt.Fprintln(out, hogIsFull)
	_, err := io.Copy(io.Discard, in)
	return err
}
