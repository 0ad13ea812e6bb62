package guest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// LoopDevice returns the name of a block device with the contents of the file
// image, until the test ends.
func LoopDevice(t testing.TB, image string) string {
	t.Helper()
	name, device, err := attach(image)
	if err != nil {
		t.Fatalf("loop device: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
			t.Errorf("detach %s: %v", name, err)
		}
		_ = device.Close()
	})
	return name
}

func attach(image string) (string, *os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = control.Close() }()
	no, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", nil, fmt.Errorf("get a free one: %w", err)
	}
	// Not by package os, which would ask for events: a test that serves the
	// file itself could not answer.
	back, err := unix.Open(image, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", image, err)
	}
	defer unix.Close(back)
	name := fmt.Sprintf("/dev/loop%d", no)
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, back); err != nil {
		return "", nil, errors.Join(fmt.Errorf("attach %s to %s: %w", image, name, err), device.Close())
	}
	return name, device, nil
}
