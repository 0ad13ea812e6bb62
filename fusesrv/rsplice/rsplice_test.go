package rsplice

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// want is what a call fails with: that, or ENOSYS on a kernel without it.
func want(t *testing.T, err error, errno unix.Errno) {
	t.Helper()
	if !Supported() {
		errno = unix.ENOSYS
	}
	if !errors.Is(err, errno) {
		t.Errorf("got %v, want %v", err, errno)
	}
}

func TestWrongDescriptorsAreRefused(t *testing.T) {
	t.Parallel()
	var off int64
	_, err := Claim(-1, 2, -1, 1, 0)
	want(t, err, unix.EBADF)
	_, err = Fill(-1, -1, &off, 1, 0)
	want(t, err, unix.EBADF)
	_, err = Move(-1, -1, 1, 0)
	want(t, err, unix.EBADF)
	_, err = Direct(-1, 2, -1, &off, 1)
	want(t, err, unix.EBADF)
	_, err = Move(-1, -1, 1, unix.SPLICE_F_MOVE)
	want(t, err, unix.EINVAL)
	_, err = Complete(-1, 2, -1, &off, 0)
	if CanComplete() {
		want(t, err, unix.EBADF)
	} else {
		want(t, err, unix.EINVAL)
	}
}

func TestMoveOfOnePipeIsRefused(t *testing.T) {
	t.Parallel()
	p := newPipe(t)
	_, err := Move(p[0], p[1], 1, Nonblock)
	want(t, err, unix.EINVAL)
}

func TestReplyIsAHeaderThatCountsTheData(t *testing.T) {
	t.Parallel()
	p := newPipe(t)
	if err := Reply(p[1], 0x8000000000000042, 0x12345); err != nil {
		t.Fatal(err)
	}
	var got [64]byte
	n, err := unix.Read(p[0], got[:])
	if err != nil || n != headerSize {
		t.Fatalf("%d bytes written, %v; want a header of %d", n, err, headerSize)
	}
	// struct fuse_out_header: len, error, unique
	want := [headerSize]byte{0x55, 0x23, 0x01, 0, 0, 0, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0x80}
	if bigEndian() {
		want = [headerSize]byte{0, 0x01, 0x23, 0x55, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x42}
	}
	if [headerSize]byte(got[:headerSize]) != want {
		t.Errorf("header % x, want % x", got[:headerSize], want)
	}
}

func newPipe(t *testing.T) [2]int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p
}

func bigEndian() bool { return binary.NativeEndian.Uint16([]byte{0, 1}) == 1 }
