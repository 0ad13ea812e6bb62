package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

// refused runs the program, which must not mount, and returns what it says.
func refused(t *testing.T, attr *syscall.SysProcAttr, flags ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append(flags, t.TempDir(), t.TempDir())...)
	cmd.Env = append(os.Environ(), envProgram+"=1")
	cmd.SysProcAttr = attr
	defer time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError {
		t.Errorf("fusesrv %v ended with %v, want exit code %d", flags, err, exitError)
	}
	return string(said)
}

// path returns the read path called name.
func path(t *testing.T, name string) fusesrv.Path {
	t.Helper()
	for _, p := range fusesrv.Paths() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no path %s", name)
	return fusesrv.Path{}
}

func TestRingsThatAreMissingOrOffAreRefused(t *testing.T) {
	guest.Need(t)
	const parameter = "/sys/module/fuse/parameters/enable_uring"
	want := "this kernel has no FUSE over io_uring"
	// Not os.WriteFile, which would try to create it.
	if f, err := os.OpenFile(parameter, os.O_WRONLY, 0); err == nil {
		want = "FUSE over io_uring is off; as root: echo 1 > " + parameter
		_, err := f.WriteString("0")
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	} else if !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	for _, name := range []string{"io_uring", "io_uring-zc"} {
		said := refused(t, nil, "-path", name)
		if !strings.Contains(said, "read path "+name+": "+want) || strings.Count(said, "\n") != 1 {
			t.Errorf("path %s: %q, want a line with %q", name, said, want)
		}
	}
}

// alone makes a process root of a user namespace and of nothing else.
func alone() *syscall.SysProcAttr {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: ids, GidMappings: ids,
	}
}

// Zero copy is for those that the whole machine trusts; without it a ring is for
// everyone who may mount.
func TestZeroCopyNeedsPrivilege(t *testing.T) {
	guest.Need(t)
	readtest.Need(t, path(t, "io_uring-zc"))
	const want = "read path io_uring-zc: queue 0 with zero copy, which needs CAP_SYS_ADMIN: operation not permitted"
	if said := refused(t, alone(), "-path", "io_uring-zc"); !strings.Contains(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	p := startProgramAs(t, alone(), t.TempDir(), "-path", "io_uring")
	p.signal(syscall.SIGTERM)
	p.endsWell()
}
