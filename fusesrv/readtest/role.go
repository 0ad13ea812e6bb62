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
	roleHog   = "hog:"  // use memory until so many pages are taken for it, and to the end of in

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
	} else if pages, ok := strings.CutPrefix(role, roleHog); ok {
		err = hog(pages, in, out)
	} else {
		err = serve(in, out)
	}
	if err != nil {
		fmt.Fprintln(errs, role, err)
	}
	return true
}

// hog uses memory, until the kernel has taken so many pages away for it, says how
// much, and keeps it.
func hog(pages string, in io.Reader, out io.Writer) error {
	var enough int
	if _, err := fmt.Sscan(pages, &enough); err != nil {
		return err
	}
	before, err := stolen()
	if err != nil {
		return err
	}
	for done, taken := 0, before; taken-before < enough; done++ {
		free, err := fieldOf("/proc/meminfo", "MemFree:")
		if err != nil {
			return err
		}
		if done%32 == 0 || free > plenty {
			fmt.Fprintln(out, free>>10, "MiB are free")
		}
		if err := use(free); err != nil {
			return err
		}
		if taken, err = stolen(); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, hogIsFull)
	_, err = io.Copy(io.Discard, in)
	return err
}

// plenty is so much free memory, in KiB, that huge pages of it are at hand.
const plenty = 128 << 10

// use takes a bit of the guest's memory, of which so many KiB are free: huge pages
// while there is plenty, since small ones take a debug kernel minutes.
func use(free int) error {
	size := 1 << 20
	if free > plenty {
		size = 32 << 20
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("mmap %d bytes: %w", size, err)
	}
	if free > plenty {
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // without them it takes longer
	}
	if err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE); err != nil {
		return fmt.Errorf("MADV_POPULATE_WRITE: %w", err)
	}
	return nil
}

// stolen is how many pages the kernel has taken away so far.
func stolen() (int, error) {
	direct, err := fieldOf("/proc/vmstat", "pgsteal_direct ")
	if err != nil {
		return 0, err
	}
	kswapd, err := fieldOf("/proc/vmstat", "pgsteal_kswapd ")
	return direct + kswapd, err
}

// fieldOf reads a number behind a name from a file of /proc.
func fieldOf(file, name string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var n int
		if rest, ok := strings.CutPrefix(line, name); ok {
			if _, err := fmt.Sscan(rest, &n); err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("%s: no %s", file, name)
}
