package fusesrv

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	devicePath = "/dev/fuse"
	// cloneDevice is FUSE_DEV_IOC_CLONE: _IOR(229, 0, uint32_t).
	cloneDevice = 0x8004e500
)

// openDevice returns a descriptor without a connection.
func openDevice() (int, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", devicePath, err)
	}
	return fd, nil
}

// mountDevice mounts a new connection of fd over dir; READs of it ask for at
// most maxRead bytes.
func mountDevice(fd int, dir string, maxRead int) error {
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d",
		fd, unix.S_IFDIR, unix.Geteuid(), unix.Getegid(), maxRead)
	err := unix.Mount("fusesrv", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data)
	if err != nil {
		return fmt.Errorf("mount fuse on %s: %w", dir, err)
	}
	return nil
}

// cloneOf returns another descriptor of fd's connection. Requests read from
// one descriptor are answered on the same.
func cloneOf(fd int) (int, error) {
	clone, err := openDevice()
	if err != nil {
		return -1, err
	}
	if err := unix.IoctlSetPointerInt(clone, cloneDevice, fd); err != nil {
		unix.Close(clone)
		return -1, fmt.Errorf("clone %s: %w", devicePath, err)
	}
	return clone, nil
}
