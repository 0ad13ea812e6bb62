// Package rsplice calls rsplice(2), by which a FUSE server has the memory of a
// READ filled without the data passing through the server.
//
// Linux has the call with the series of package patches only. Supported tells
// whether the running kernel does; a FUSE server must in addition offer
// InitFlag in its reply to INIT, and may use the call if the kernel offered the
// flag too. A READ is then answered by
//
//	n, err := rsplice.Claim(device, unique, pipeW, size, 0) // empty buffers into a pipe
//	n, err = rsplice.Fill(pipeR, file, &offset, n, 0)       // filled from a file, again until 0
//	err = rsplice.Reply(device, unique, filled)             // so many bytes are in place
//
// or with Direct in place of Claim and Fill, or all three in one:
//
//	n, err := rsplice.Complete(device, unique, file, &offset, size)
//
// The manual is docs/rsplice.2.
//
// Each function is one system call. Errors are bare [unix.Errno] values, as those
// of package unix are. A call that a signal ended before it did anything is
// started again by the kernel.
package rsplice

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InitFlag is FUSE_RSPLICE: a bit of the 64 that the fields flags (low) and
// flags2 (high) of INIT make.
const InitFlag uint64 = 1 << 60

// Nonblock is the only flag that calls with a pipe know: fail with EAGAIN instead
// of waiting for a pipe that is full or empty. It says nothing of the source.
const Nonblock = unix.SPLICE_F_NONBLOCK

// FlagComplete is RSPLICE_F_COMPLETE (include/uapi/linux/rsplice.h), which makes
// Complete of Direct.
const FlagComplete = 1 << 16

// headerSize is that of struct fuse_out_header, in bytes.
const headerSize = 16

// Number is that of the system call, for who wants to call it with arguments that
// the functions here cannot express. It is the same on all architectures that Go
// has but MIPS, which counts from an offset for each of its ABIs.
func Number() uintptr {
	switch runtime.GOARCH {
	case "mips", "mipsle":
		return 4480
	case "mips64", "mips64le":
		return 5480
	}
	return 480
}

func call(dst int, offDst unsafe.Pointer, src int, offSrc unsafe.Pointer, size int, flags int) (int, error) {
	n, _, errno := unix.Syscall6(Number(), uintptr(dst), uintptr(offDst), uintptr(src), uintptr(offSrc),
		uintptr(size), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Supported tells whether the kernel has the call: to move nothing succeeds
// whatever the descriptors are.
func Supported() bool {
	_, err := call(-1, nil, -1, nil, 0, 0)
	return err == nil
}

// CanComplete tells whether the kernel has Complete too. Kernels refuse flags that
// they do not know before they look at anything else.
func CanComplete() bool {
	_, err := call(-1, nil, -1, nil, 0, FlagComplete)
	return err == unix.EBADF
}

// Claim puts the next at most size empty bytes of a READ into a pipe, as one
// buffer, and returns how many; 0 means that all have been claimed. Device is
// the descriptor of /dev/fuse that the request was read from, unique its
// identification.
//
// Errors: ENOENT if the request is not there (any more); EOPNOTSUPP if it cannot
// be filled or InitFlag was not negotiated, then answer with the data; EPERM if
// device is not mounted; EPIPE and SIGPIPE if nobody reads the pipe.
func Claim(device int, unique uint64, pipe int, size int, flags int) (int, error) {
	return call(device, unsafe.Pointer(&unique), pipe, nil, size, flags)
}

// Fill reads at most size bytes from a source into the empty buffers of a pipe,
// and returns how many. The source is read at *off, which is advanced; if off
// is nil at its own position. 0 means that the source has ended, or that the
// pipe is empty and nobody has it open for writing.
//
// Errors: ECANCELED if there were but buffers in the pipe whose READ has ended,
// which are gone now; EINVAL if other data are in the pipe; EOPNOTSUPP if
// the READ goes to a process's own memory and the source is not fit for that;
// ESPIPE if off is set and the source has no positions; those of read(2).
func Fill(pipe int, source int, off *int64, size int, flags int) (int, error) {
	return call(pipe, nil, source, unsafe.Pointer(off), size, flags)
}

// Direct claims and fills in one call, without a pipe: it reads at most size bytes
// from a source into the next empty bytes of a READ, and returns how many. What
// the source does not fill can be claimed again. 0 means that the source has
// ended, or that all has been claimed.
//
// Errors: those of Claim and Fill that do not come from a pipe; ENOENT also if
// the READ ended meanwhile.
func Direct(device int, unique uint64, source int, off *int64, size int) (int, error) {
	return call(device, unsafe.Pointer(&unique), source, unsafe.Pointer(off), size, 0)
}

// Complete answers a READ with its first size bytes, of which it fills those that
// have not been claimed, as Direct does. It goes on until they are in place or the
// source ends, and returns with how many bytes the READ was answered: those that
// were filled before are included. Size is that of the READ, or less to end the
// file there.
//
// After any error but ENOENT the READ is still there. What has been read is in
// place and off is behind it, so the same call can be made again, or another reply
// sent.
//
// Errors: those of Direct, which are returned even if something has been read;
// EINVAL also if not all of the bytes that were claimed before are in place; EBUSY
// if another fill is going on; ENOENT also if the READ ended meanwhile.
func Complete(device int, unique uint64, source int, off *int64, size int) (int, error) {
	return call(device, unsafe.Pointer(&unique), source, unsafe.Pointer(off), size, FlagComplete)
}

// Move takes at most size empty bytes from a pipe to another one, and returns
// how many; a buffer is split if it is larger. 0 means that the pipe is empty and
// nobody has it open for writing.
//
// Errors: EINVAL if other data are in the pipe, or both are the same; EPIPE and
// SIGPIPE if nobody reads the second one.
func Move(from int, to int, size int, flags int) (int, error) {
	return call(from, nil, to, nil, size, flags)
}

// Reply answers a READ whose first size bytes have been filled; size is at
// least 1. (The reply to a READ at the end of the file is an ordinary one.)
//
// Errors, all but ENOENT with the request left as it was: EINVAL if not all of
// the bytes are in place; EBUSY if a fill is going on; ENOENT if the request is
// not there (any more).
func Reply(device int, unique uint64, size int) error {
	var header [headerSize]byte
	binary.NativeEndian.PutUint32(header[0:], uint32(headerSize+size))
	binary.NativeEndian.PutUint64(header[8:], unique)
	_, err := unix.Write(device, header[:])
	return err
}
