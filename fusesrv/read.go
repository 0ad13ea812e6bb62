package fusesrv

import (
	"encoding/binary"
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The kernel's protocol (include/uapi/linux/fuse.h): operations that this
// package answers itself, sizes in bytes.
const (
	opRead      = 15
	opInit      = 26
	opInterrupt = 36

	requestHeaderSize = 40
	readSize          = 80 // header and struct fuse_read_in
	interruptSize     = 48 // header and struct fuse_interrupt_in
	replyHeaderSize   = 16
)

// A read is one READ, from the device to its answer.
type read struct {
	dev    int    // descriptor that it came from and is answered on
	unique uint64 // the kernel's name for it
	off    int64  // first byte asked for
	size   int    // bytes asked for, at most the mount's MaxRead
	from   *source
	count  *counters
}

// A source is where the bytes of an open file come from: data, or the
// descriptor fd when data is nil.
//
// It is a fuse.ReadResult so that it travels from the file's node through
// go-fuse's Read to the worker, which never asks it for bytes.
type source struct {
	fd   int
	data io.ReaderAt
}

// Bytes implements fuse.ReadResult; a READ that ends up here was not
// answered by its path.
func (*source) Bytes([]byte) ([]byte, fuse.Status) { return nil, fuse.ENOSYS }

// Size implements fuse.ReadResult.
func (*source) Size() int { return 0 }

// Done implements fuse.ReadResult.
func (*source) Done() {}

// delivered counts n bytes as read, then has send reply to r with them. They
// are counted first: a reader that has its bytes finds them counted.
func (r *read) delivered(n int, send func() error) error {
	r.count.readBytes.Add(uint64(n))
	return r.sent(send())
}

// fail answers r with an error number.
func (r *read) fail(no syscall.Errno) error {
	r.count.failed.Add(1)
	return r.sent(replyError(r.dev, r.unique, no))
}

// sent judges the outcome of a reply: a request that ended meanwhile, by an
// abort or with its connection, needs none.
func (r *read) sent(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// replyError ends the request unique with an error number.
func replyError(dev int, unique uint64, no syscall.Errno) error {
	var header [replyHeaderSize]byte
	putReplyHeader(header[:], unique, no, 0)
	_, err := unix.Write(dev, header[:])
	return err
}

// putReplyHeader writes struct fuse_out_header for payload bytes that follow.
func putReplyHeader(b []byte, unique uint64, no syscall.Errno, payload int) {
	binary.NativeEndian.PutUint32(b[0:], uint32(replyHeaderSize+payload))
	binary.NativeEndian.PutUint32(b[4:], uint32(-int32(no)))
	binary.NativeEndian.PutUint64(b[8:], unique)
}

// A request is a message of the kernel, as far as every message is alike.
type request struct {
	opcode uint32
	unique uint64
	msg    []byte // all of it
}

// parseRequest reads the header of msg.
func parseRequest(msg []byte) (request, bool) {
	if len(msg) < requestHeaderSize {
		return request{}, false
	}
	return request{
		opcode: binary.NativeEndian.Uint32(msg[4:]),
		unique: binary.NativeEndian.Uint64(msg[8:]),
		msg:    msg,
	}, true
}

// parseRead reads a READ of at most maxRead bytes into in.
func (q request) parseRead(in *fuse.ReadIn, maxRead int) bool {
	if len(q.msg) < readSize {
		return false
	}
	in.Unique = q.unique
	in.NodeId = binary.NativeEndian.Uint64(q.msg[16:])
	in.Fh = binary.NativeEndian.Uint64(q.msg[40:])
	in.Offset = binary.NativeEndian.Uint64(q.msg[48:])
	in.Size = binary.NativeEndian.Uint32(q.msg[56:])
	return int64(in.Size) <= int64(maxRead) && int64(in.Offset) >= 0
}

// interrupted returns the request that an INTERRUPT is about.
func (q request) interrupted() (uint64, bool) {
	if len(q.msg) < interruptSize {
		return 0, false
	}
	return binary.NativeEndian.Uint64(q.msg[requestHeaderSize:]), true
}
