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
	initSize          = 60 // header and struct fuse_init_in up to flags2
	interruptSize     = 48 // header and struct fuse_interrupt_in
	replyHeaderSize   = 16
)

// A read is one READ, from the device to its answer. Its worker uses the same one
// for the next.
type read struct {
	conn   conn   // that it came by and is answered by
	dev    int    // the device, for paths that answer there themselves
	unique uint64 // the kernel's name for it
	off    int64  // first byte asked for
	asked  int    // bytes asked for, at most the mount's MaxRead
	size   int    // as many, or fewer where the source ends
	count  *counters
	hooks  *Hooks

	// Where its bytes come from: see source.
	fd     int
	data   io.ReaderAt
	stream bool // fd has no positions
	direct bool
	at     int64 // how far those system calls are that are given a position
}

// step tells a hook how far r is.
func (r *read) step(s Step) {
	if r.hooks.OnStep != nil {
		r.hooks.OnStep(s)
	}
}

// A replier sends a reply of n bytes to unique, which is r unless a hook has made
// it up. (It is no function, as one that knows r is memory for each READ.)
type replier interface {
	reply(r *read, unique uint64, n int) error
}

// reply counts n bytes as read, then has by reply to r with them.
func (r *read) reply(n int, by replier) error {
	r.announce(n, by)
	return r.sent(by.reply(r, r.unique, n))
}

// announce counts n bytes as read, before the reply: a reader that has its
// bytes finds them counted. A hook may send replies of its own.
func (r *read) announce(n int, by replier) {
	r.count.readBytes.Add(uint64(n))
	if r.hooks.OnReply != nil {
		r.hooks.OnReply(Reply{Unique: r.unique, Asked: r.asked, Size: n, Send: func(unique uint64, n int) error {
			if err := by.reply(r, unique, n); err != nil {
				return err
			}
			return r.conn.flush()
		}})
	}
}

// send answers by r's conn.
func (r *read) send(header, data []byte) error {
	r.count.calls.Add(r.conn.sendCalls())
	return r.conn.send(header, data)
}

// fail answers r with an error number.
func (r *read) fail(no syscall.Errno) error {
	r.count.failed.Add(1)
	r.count.calls.Add(r.conn.sendCalls())
	return r.sent(replyError(r.conn, r.unique, no))
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
func replyError(c conn, unique uint64, no syscall.Errno) error {
	var header [replyHeaderSize]byte
	putReplyHeader(header[:], unique, no, 0)
	return c.send(header[:], nil)
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

// offers returns the capabilities in an INIT.
func (q request) offers() uint64 {
	if len(q.msg) < initSize {
		return 0
	}
	low := binary.NativeEndian.Uint32(q.msg[requestHeaderSize+12:])
	high := binary.NativeEndian.Uint32(q.msg[requestHeaderSize+16:])
	return uint64(low) | uint64(high)<<32
}
