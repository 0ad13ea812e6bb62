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

// A conn is one worker's way to and from the kernel.
type conn interface {
	// open readies it; where it is a ring, by the thread that is to use it.
	open() error
	// next waits for a message, which stays until the next call. Any error
	// but errEnded is unexpected, and as final.
	next() ([]byte, error)
	// send answers the message with a header and what follows it.
	send(header, data []byte) error
	// flush sees to it that the kernel has every answer, and returns what it
	// said to the last.
	flush() error
	// sendCalls is how many system calls send makes.
	sendCalls() uint64
	// ringed is 1 for an io_uring(7), else 0.
	ringed() uint64
	close()
}

// A device is a conn that reads and writes a descriptor.
type device struct {
	fd int
	in []byte
}

func (d *device) open() error       { return nil }
func (d *device) flush() error      { return nil }
func (d *device) sendCalls() uint64 { return 1 }
func (d *device) ringed() uint64    { return 0 }
func (d *device) close()            { unix.Close(d.fd) }

func (d *device) next() ([]byte, error) {
	n, err := receive(func() (int, error) { return unix.Read(d.fd, d.in) })
	if err != nil {
		return nil, err
	}
	return d.in[:n], nil
}

// receive has read fetch one message from a device.
func receive(read func() (int, error)) (int, error) {
	for {
		n, err := read()
		switch err {
		case nil:
			return n, nil
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: it was aborted while being read
		case unix.ENODEV, unix.ECONNABORTED:
			return 0, errEnded
		default:
			return 0, err
		}
	}
}

func (d *device) send(header, data []byte) error {
	var err error
	if len(data) == 0 {
		_, err = unix.Write(d.fd, header)
	} else {
		_, err = unix.Writev(d.fd, [][]byte{header, data})
	}
	return err
}

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
