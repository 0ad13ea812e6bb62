package rsplice

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNothingHasLeaked is last, by the name of its file: it lets the kernel look
// for memory that nothing points to any more. That needs a kernel of profile
// debug and -append kmemleak=on.
func TestNothingHasLeaked(t *testing.T) {
	need(t)
	debug := t.TempDir()
	if err := unix.Mount("debugfs", debug, "debugfs", 0, ""); err != nil {
		t.Fatalf("mount debugfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(debug, unix.MNT_DETACH) })
	file := filepath.Join(debug, "kmemleak")
	const tooYoung = 5 * time.Second // to be reported
	for range 2 {
		err := os.WriteFile(file, []byte("scan"), 0)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			t.Skip("kernel does not look for leaks")
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(tooYoung + time.Second)
	}
	leaks, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaks) > 0 {
		t.Errorf("%s", leaks[:min(len(leaks), 8000)])
	}
}
