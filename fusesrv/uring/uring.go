// Package uring is io_uring(7) as far as FUSE over io_uring needs it: entries
// of 128 bytes, which hold commands for a file, and a table of registered
// buffers whose slots the kernel fills. No Go library of the kind has these.
//
// A Ring belongs to one thread, which must make it, submit and reap: the
// caller locks its goroutine to one (runtime.LockOSThread). In return the
// kernel completes operations only while that thread waits in Enter, so memory
// that operations write to does not change behind its back.
package uring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations (enum io_uring_op in include/uapi/linux/io_uring.h, as all below).
const (
	OpNop        = 0
	OpReadFixed  = 4  // read from a file into a registered buffer
	OpWriteFixed = 5  // write to a file out of one
	OpCommand    = 46 // IORING_OP_URING_CMD: a command that FD's driver knows
)

// Flags of an Entry.
const (
	// Link has the next entry wait until this one has succeeded: if it has
	// not, or has moved fewer bytes than it was to, the next one is cancelled.
	Link = 1 << 2
	// SkipSuccess reports this entry only if it fails.
	SkipSuccess = 1 << 6
)

const (
	// setupFlags are SQE128, SINGLE_ISSUER, DEFER_TASKRUN and NO_SQARRAY.
	setupFlags = 1<<10 | 1<<12 | 1<<13 | 1<<16

	ringsOffset   = 0          // IORING_OFF_SQ_RING, where the rings are mapped
	entriesOffset = 0x10000000 // IORING_OFF_SQES

	enterGetEvents = 1 // IORING_ENTER_GETEVENTS

	registerBuffers2 = 15 // IORING_REGISTER_BUFFERS2
	registerSparse   = 1  // IORING_RSRC_REGISTER_SPARSE
	cloneBuffers     = 30 // IORING_REGISTER_CLONE_BUFFERS

	entrySize      = 128
	completionSize = 16
)

// An Entry is a struct io_uring_sqe with its command area.
type Entry struct {
	Op          uint8
	Flags       uint8
	Prio        uint16
	FD          int32
	Off         uint64 // position in the file; the number of a command
	Addr        uint64
	Len         uint32
	OpFlags     uint32
	UserData    uint64 // comes back in the Completion
	Buffer      uint16 // slot in the table of registered buffers
	Personality uint16
	SpliceFD    int32
	Command     [80]byte
}

// A Completion is a struct io_uring_cqe.
type Completion struct {
	UserData uint64
	Result   int32 // a count, or an error number below 0
	Flags    uint32
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		userAddr                                            uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		userAddr                                            uint64
	}
}

// A Ring is an io_uring.
type Ring struct {
	fd             int
	rings, entries []byte
	sqHead, sqTail *uint32 // the kernel moves heads of the one, tails of the other
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	cqes           unsafe.Pointer
	next           uint32 // the tail that Enter publishes
}

// New makes a ring for at most n operations at once, a power of 2. Its errors
// are those of io_uring_setup(2): ENOSYS and EPERM where there is none, or none
// for this process (see io_uring_disabled in proc(5)), EINVAL before Linux 6.6.
func New(n int) (*Ring, error) {
	p := params{flags: setupFlags}
	fd, _, no := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&p)), 0)
	if no != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", no)
	}
	r := &Ring{fd: int(fd)}
	if err := r.mmap(&p); err != nil {
		r.Close()
		return nil, fmt.Errorf("map an io_uring: %w", err)
	}
	return r, nil
}

// mmap maps the rings, which lie in one piece, and the entries.
func (r *Ring) mmap(p *params) (err error) {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	size := p.cq.cqes + p.cqEntries*completionSize
	if r.rings, err = unix.Mmap(r.fd, ringsOffset, int(size), prot, flags); err != nil {
		return err
	}
	if r.entries, err = unix.Mmap(r.fd, entriesOffset, int(p.sqEntries*entrySize), prot, flags); err != nil {
		return err
	}
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[off])) }
	r.sqHead, r.sqTail, r.sqMask = at(p.sq.head), at(p.sq.tail), *at(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.cqes = unsafe.Pointer(&r.rings[p.cq.cqes])
	return nil
}

// Close cancels what is under way and frees the ring. Memory that operations
// may write to must stay until then.
func (r *Ring) Close() {
	for _, mem := range [][]byte{r.rings, r.entries} {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
	unix.Close(r.fd)
}

// ReserveBuffers makes a table of n registered buffers, all empty.
func (r *Ring) ReserveBuffers(n int) error {
	arg := struct {
		n, flags           uint32
		reserved           uint64
		buffers, tagsUnset uint64
	}{n: uint32(n), flags: registerSparse}
	if no := r.register(registerBuffers2, unsafe.Pointer(&arg), unsafe.Sizeof(arg)); no != 0 {
		return fmt.Errorf("table of registered buffers: %w", no)
	}
	return nil
}

// CloneBuffers makes a table that shares the buffers that are in from's now.
func (r *Ring) CloneBuffers(from *Ring) error {
	arg := [8]uint32{uint32(from.fd)} // struct io_uring_clone_buffers
	if no := r.register(cloneBuffers, unsafe.Pointer(&arg), 1); no != 0 {
		return fmt.Errorf("clone a table of registered buffers: %w", no)
	}
	return nil
}

// register is io_uring_register(2).
func (r *Ring) register(op uintptr, arg unsafe.Pointer, n uintptr) unix.Errno {
	_, _, no := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), op, uintptr(arg), n, 0, 0)
	return no
}

// Entry returns a cleared entry for the caller to fill; the next Enter submits
// it. There must be room: no more than New said since that Enter.
func (r *Ring) Entry() *Entry {
	if r.next-atomic.LoadUint32(r.sqHead) > r.sqMask {
		panic("uring: more operations at once than the ring has room for")
	}
	e := (*Entry)(unsafe.Pointer(&r.entries[(r.next&r.sqMask)*entrySize]))
	*e = Entry{}
	r.next++
	return e
}

// Enter submits what Entry has handed out and waits until there are wait
// completions. It may return earlier, on a signal too: whoever waits for a
// completion looks and enters again.
func (r *Ring) Enter(wait int) error {
	atomic.StoreUint32(r.sqTail, r.next)
	submit := r.next - atomic.LoadUint32(r.sqHead)
	_, _, no := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	if no != 0 && no != unix.EINTR {
		return fmt.Errorf("io_uring_enter: %w", no)
	}
	return nil
}

// Completion takes the next completion, if there is one.
func (r *Ring) Completion() (Completion, bool) {
	head := *r.cqHead // which only this thread moves
	if head == atomic.LoadUint32(r.cqTail) {
		return Completion{}, false
	}
	c := *(*Completion)(unsafe.Add(r.cqes, uintptr(head&r.cqMask)*completionSize))
	atomic.StoreUint32(r.cqHead, head+1)
	return c, true
}
