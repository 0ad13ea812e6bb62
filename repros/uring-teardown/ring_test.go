package uringteardown

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/uring"
	"github.com/runvm/runvm/repros/rawfuse"
)

// FUSE over io_uring (include/uapi/linux/fuse.h).
const (
	overRing     = 1 << 41 // capabilities of INIT: FUSE_OVER_IO_URING
	hasPools     = 1 << 43 // FUSE_HAS_IO_URING_BUFPOOL
	openZeroCopy = 1 << 8  // FOPEN_IO_URING_ZERO_COPY

	cmdRegister = 1
	cmdCommit   = 2
	cmdAddQueue = 3
	cmdAddPool  = 4

	queueZeroCopy   = 1 // flag of cmdAddQueue
	requestZeroCopy = 1 // flag of a request

	headOp      = 128 // parts of struct fuse_uring_req_header
	headEntry   = 256
	headPayload = headEntry + 16
	headOffset  = headEntry + 20
	headSize    = headEntry + 32

	poolSize = 1 << 20 // bytes; the kernel wants MaxWrite at least
	slot     = 0       // of the table of registered buffers
)

// A ring takes one request at a time from queue 0, with zero copy. It belongs
// to one thread.
type ring struct {
	*uring.Ring
	dev        int
	head, pool []byte
	taken      map[uint64]int32 // results by user data
}

// User data of operations.
const (
	tagSetup = iota + 1
	tagRequest
	tagRead
)

// newRing makes the queue and its one entry, after which the kernel sends
// requests there. The caller stays on its thread.
func newRing(t *testing.T, dev int) (*ring, error) {
	runtime.LockOSThread()
	u, err := uring.New(4)
	if err != nil {
		return nil, err
	}
	t.Cleanup(u.Close)
	r := &ring{Ring: u, dev: dev, taken: map[uint64]int32{}}
	for mem, size := range map[*[]byte]int{&r.head: os.Getpagesize(), &r.pool: poolSize} {
		if *mem, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			return nil, err
		}
	}
	ne := binary.NativeEndian
	if err := r.ReserveBuffers(slot + 1); err != nil {
		return nil, err
	}
	if err := r.addQueue(); err != nil {
		return nil, err
	}
	e := r.command(cmdAddPool, tagSetup)
	ne.PutUint64(e.Command[24:], address(r.pool))
	ne.PutUint32(e.Command[32:], uint32(len(r.pool)))
	if err := r.wait(tagSetup); err != nil {
		return nil, err
	}
	iov := r.head[headSize:] // two struct iovec, the second empty
	ne.PutUint64(iov, address(r.head))
	ne.PutUint64(iov[8:], headSize)
	e = r.command(cmdRegister, tagRequest)
	e.Addr, e.Len = address(iov), 2
	ne.PutUint16(e.Command[24:], slot)
	return r, nil
}

// addQueue makes queue 0. The kernel says EAGAIN until INIT is answered.
func (r *ring) addQueue() error {
	for end := time.Now().Add(rawfuse.Patience); ; time.Sleep(time.Millisecond) {
		binary.NativeEndian.PutUint64(r.command(cmdAddQueue, tagSetup).Command[0:], queueZeroCopy)
		if err := r.wait(tagSetup); err != unix.EAGAIN || time.Now().After(end) {
			return err
		}
	}
}

func address(mem []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) }

// command prepares a command for queue 0.
func (r *ring) command(number, tag uint64) *uring.Entry {
	e := r.Entry()
	e.Op, e.FD, e.Off, e.UserData = uring.OpCommand, int32(r.dev), number, tag
	return e
}

// wait waits for the result of the operation tag.
func (r *ring) wait(tag uint64) error {
	for {
		if result, ok := r.taken[tag]; ok {
			delete(r.taken, tag)
			if result < 0 {
				return unix.Errno(-result)
			}
			return nil
		}
		if err := r.Enter(1); err != nil {
			return err
		}
		for c, ok := r.Completion(); ok; c, ok = r.Completion() {
			r.taken[c.UserData] = c.Result
		}
	}
}

// next waits for the next request.
func (r *ring) next() (*rawfuse.Request, error) {
	if err := r.wait(tagRequest); err != nil {
		return nil, err
	}
	const inHeader = int(unsafe.Sizeof(fuse.InHeader{}))
	q := &rawfuse.Request{Message: append([]byte(nil), r.head[:inHeader]...)}
	q.InHeader = rawfuse.In[fuse.InHeader](q)
	payload := int(binary.NativeEndian.Uint32(r.head[headPayload:]))
	op := int(q.Length) - inHeader - payload
	if op < 0 || op > headEntry-headOp || payload < 0 || payload > len(r.pool) {
		return nil, errors.New("a request of another size than its parts have")
	}
	q.Message = append(q.Message, r.head[headOp:headOp+op]...)
	if payload > 0 && !r.zeroCopied() {
		q.Message = append(q.Message, r.room()[:payload]...)
	}
	return q, nil
}

// zeroCopied says that the pages of the request are in the slot.
func (r *ring) zeroCopied() bool {
	return binary.NativeEndian.Uint64(r.head[headEntry:])&requestZeroCopy != 0
}

// room is where the payload of a request, and of its answer, is.
func (r *ring) room() []byte { return r.pool[binary.NativeEndian.Uint32(r.head[headOffset:]):] }

// answer answers q with one of go-fuse's structs, nil for none, or an error
// number, and asks for the next request.
func (r *ring) answer(q *rawfuse.Request, errno unix.Errno, out any) {
	var data []byte
	if out != nil {
		data, _ = binary.Append(nil, binary.NativeEndian, out) // never fails: sizes are fixed
	}
	copy(r.head, rawfuse.OutHeader(q.Unique, errno, len(data)))
	if len(data) > 0 {
		copy(r.room(), data)
	}
	binary.NativeEndian.PutUint32(r.head[headPayload:], uint32(len(data)))
	binary.NativeEndian.PutUint64(r.command(cmdCommit, tagRequest).Command[8:], q.Unique)
}

// fill reads from a file into the pages in the slot and returns what the
// kernel says to that.
func (r *ring) fill(fd, size int) error {
	e := r.Entry()
	e.Op, e.FD, e.Len, e.Buffer, e.UserData = uring.OpReadFixed, int32(fd), uint32(size), slot, tagRead
	return r.wait(tagRead)
}
