package rsplice

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of io_uring(7), as in the kernel's include/uapi/linux/io_uring.h.
const (
	uringRead   = 22
	uringSplice = 30
	uringTee    = 33
)

// A uring is an io_uring(7) that does one thing at a time.
type uring struct {
	fd          int
	rings, sqes []byte
	params      [30]uint32 // struct io_uring_params
}

// Places in params: offsets within the rings.
const (
	sqTail, sqMask, sqArray = 11, 12, 16
	cqHead, cqTail          = 20, 21
	cqMask, cqes            = 22, 25
)

func newUring() (*uring, error) {
	u := &uring{}
	fd, _, no := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&u.params)), 0)
	if no != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", no)
	}
	u.fd = int(fd)
	var err error
	const prot = unix.PROT_READ | unix.PROT_WRITE
	if u.rings, err = unix.Mmap(u.fd, 0, 4096, prot, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(err, u.close())
	}
	if u.sqes, err = unix.Mmap(u.fd, 0x10000000, 64, prot, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(err, u.close())
	}
	return u, nil
}

func (u *uring) close() error {
	if u.sqes != nil {
		_ = unix.Munmap(u.sqes)
	}
	if u.rings != nil {
		_ = unix.Munmap(u.rings)
	}
	return unix.Close(u.fd)
}

func (u *uring) at(place int) *uint32 {
	return (*uint32)(unsafe.Pointer(&u.rings[u.params[place]]))
}

// do submits an operation on fd and waits for its result: a count, or an error.
// In is the descriptor that splice and tee read from, addr what read writes to
// and off where it reads, -1 for a pipe.
func (u *uring) do(op byte, fd, in int, addr unsafe.Pointer, size int, off int64) (int, error) {
	ne := binary.NativeEndian
	sqe := u.sqes
	clear(sqe)
	sqe[0] = op
	ne.PutUint32(sqe[4:], uint32(fd))
	ne.PutUint64(sqe[8:], uint64(off))
	ne.PutUint64(sqe[16:], uint64(uintptr(addr)))
	if op == uringSplice {
		ne.PutUint64(sqe[16:], 1<<64-1)
	}
	if op == uringTee {
		clear(sqe[8:24])
	}
	ne.PutUint32(sqe[24:], uint32(size))
	ne.PutUint32(sqe[44:], uint32(in))

	*u.at(sqArray) = 0
	*u.at(sqTail)++
	if err := u.wait(); err != nil {
		return 0, err
	}
	entry := int(u.params[cqes]) + int(*u.at(cqHead)&*u.at(cqMask))*16
	*u.at(cqHead)++
	if res := int32(ne.Uint32(u.rings[entry+8:])); res < 0 {
		return 0, unix.Errno(-res)
	} else {
		return int(res), nil
	}
}

// wait submits what is in the queue and waits for its end, which a signal does not
// put off.
func (u *uring) wait() error {
	const getEvents = 1
	for submit := uintptr(1); atomic.LoadUint32(u.at(cqTail)) == *u.at(cqHead); {
		n, _, no := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), submit, 1, getEvents, 0, 0)
		switch no {
		case 0:
			submit -= n
		case unix.EINTR:
		default:
			return no
		}
	}
	return nil
}
