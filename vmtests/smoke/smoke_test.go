package smoke

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

func TestKernelTellsItsRelease(t *testing.T) {
	guest.Need(t)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if got := unix.ByteSliceToString(u.Sysname[:]); got != "Linux" {
		t.Errorf("uname says system %q, want Linux", got)
	}
	release := unix.ByteSliceToString(u.Release[:])
	proc, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(proc)); got != release || release == "" {
		t.Errorf("uname says release %q, /proc says %q", release, got)
	}
}

func TestClocksGoOn(t *testing.T) {
	guest.Need(t)
	const pause = time.Millisecond
	for name, clock := range map[string]int32{"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME} {
		before := now(t, clock)
		time.Sleep(pause)
		if after := now(t, clock); after-before < pause {
			t.Errorf("clock %s went on by %v in a sleep of %v", name, after-before, pause)
		}
	}
}

// now reads a clock.
func now(t *testing.T, clock int32) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func TestFileSystemsAreMounted(t *testing.T) {
	guest.Need(t)
	for dir, magic := range map[string]int64{"/proc": unix.PROC_SUPER_MAGIC, "/sys": unix.SYSFS_MAGIC, "/tmp": unix.TMPFS_MAGIC} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Errorf("statfs %s: %v", dir, err)
		} else if st.Type != magic {
			t.Errorf("%s has file system %#x, want %#x", dir, st.Type, magic)
		}
	}
}

func TestTmpfsKeepsWhatIsWritten(t *testing.T) {
	guest.Need(t)
	want := bytes.Repeat([]byte("runvm"), 2*os.Getpagesize()/5)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes read differ from %d written", len(got), len(want))
	}
}

// BenchmarkSyscall is the cost of entering and leaving the kernel.
func BenchmarkSyscall(b *testing.B) {
	guest.Need(b)
	for b.Loop() {
		unix.Getppid()
	}
}
