package rsplice

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// attachLoop makes a file a block device, and opens that for reading, with
// flags in addition.
func attachLoop(path string, flags int) (int, error) {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	file, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(file)
	for {
		no, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return -1, fmt.Errorf("get a loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", no)
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
		if err != nil {
			return -1, fmt.Errorf("open %s: %w", name, err)
		}
		err = unix.IoctlSetInt(fd, unix.LOOP_SET_FD, file)
		if err == nil {
			return fd, nil
		}
		unix.Close(fd)
		if !errors.Is(err, unix.EBUSY) { // somebody else was quicker
			return -1, fmt.Errorf("attach %s: %w", name, err)
		}
	}
}

// newLoop is a block device with the contents of the server's file, until the
// test ends.
func (s *server) newLoop(t *testing.T, flags int) int {
	t.Helper()
	fd, err := attachLoop(s.source.Name(), flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0)
		unix.Close(fd)
	})
	return fd
}
