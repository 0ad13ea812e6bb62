package fusesrv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/uring"
)

// The kernel's protocol for FUSE over io_uring (include/uapi/linux/fuse.h,
// Documentation/filesystems/fuse/fuse-io-uring.rst): capabilities of INIT, a
// flag of OPEN, commands, and where in struct fuse_uring_req_header things are.
const (
	overRing     = 1 << 41 // FUSE_OVER_IO_URING, since 6.14
	hasPools     = 1 << 43 // FUSE_HAS_IO_URING_BUFPOOL, since 7.3
	openZeroCopy = 1 << 8  // FOPEN_IO_URING_ZERO_COPY, since 7.3

	cmdRegister = 1 // an entry, which waits for the first request
	cmdCommit   = 2 // the answer to a request; the entry waits for the next
	cmdAddQueue = 3
	cmdAddPool  = 4

	queueZeroCopy   = 1 // flag of cmdAddQueue
	requestZeroCopy = 1 // flag of a request

	headOp      = 128 // what is particular to the operation
	headEntry   = 256 // struct fuse_uring_ent_in_out: flags, commit id, size, offset
	headID      = headEntry + 8
	headPayload = headEntry + 16
	headOffset  = headEntry + 20
	headSize    = headEntry + 32
)

const (
	ringParameter = "/sys/module/fuse/parameters/enable_uring"
	possibleCPUs  = "/sys/devices/system/cpu/possible"

	// ringDepth is how many operations a ring has room for: at most one that
	// moves bytes and one that answers are under way, and tests answer twice.
	ringDepth = 4
	// slot is where in the ring's table of registered buffers the kernel
	// puts the pages of a request.
	slot = 0
	// minPayload is the least that the kernel wants for what is not in the
	// headers: FUSE_DEFAULT_MAX_PAGES_PER_REQ pages, if more was not negotiated.
	minPayload = 32 << 12
)

// User data of operations.
const (
	tagMove   = iota + 1 // bytes to or from a registered buffer
	tagCommit            // an answer, or register: completes with the next request
	tagLinked            // an answer that goes with a tagMove
	tagSetup             // a command that completes at once
)

// A ringKind is how requests come by io_uring.
type ringKind struct {
	// zeroCopy has the kernel put a READ's pages into the table of
	// registered buffers.
	zeroCopy bool
}

// ringsAllowed fails where FUSE over io_uring is missing or off.
func ringsAllowed() error {
	b, err := os.ReadFile(ringParameter)
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("this kernel has no FUSE over io_uring (CONFIG_FUSE_IO_URING, Linux 6.14)")
	}
	if err != nil {
		return err
	}
	if s := strings.TrimSpace(string(b)); s != "Y" && s != "1" {
		return fmt.Errorf("FUSE over io_uring is off; as root: echo 1 > %s", ringParameter)
	}
	return nil
}

// A ringQueue is the kernel's queue of requests that one CPU makes.
type ringQueue struct {
	number uint16
	make   sync.Once
	err    error  // of make
	pool   []byte // for what does not fit in headers, from which the kernel takes pieces; nil if it does not
}

// newRingQueue returns queue number of s, for so many workers.
func newRingQueue(s *Server, number, workers int) (*ringQueue, error) {
	q := &ringQueue{number: uint16(number)}
	if !s.path.ring.zeroCopy {
		return q, nil // it is made with its first entry, and each has its own memory
	}
	var err error
	q.pool, err = anonymous(workers * s.payloadSize())
	return q, err
}

func (q *ringQueue) close() {
	if q.pool != nil {
		_ = unix.Munmap(q.pool)
	}
}

// A ringConn is a conn by which one request at a time comes, on a ring of its
// own: one entry of a queue. With more of them a request could wait here for a
// worker that is busy while another one is idle, and an abort of the
// connection would wait for that worker too.
type ringConn struct {
	queue   *ringQueue
	dev     int
	count   *counters
	ring    *uring.Ring
	head    []byte // struct fuse_uring_req_header
	payload []byte // what does not fit there; nil if the queue has a pool
	in      []byte // a message as the device would have it
	bounce  bounce

	now      uint64 // the request that is being served; 0: none
	zeroCopy bool   // whose pages are in the slot, to be filled
	fetched  bool   // there is a request in head
	waiting  int    // commits that have not completed
	said     error  // to the last commit that was refused
	moved    int32  // result of the last tagMove
	moves    int    // how many there were
}

// newRingConn returns an entry of q; the thread that is to use it opens it.
func newRingConn(s *Server, dev int, q *ringQueue) (*ringConn, error) {
	c := &ringConn{queue: q, dev: dev, count: &s.count, in: make([]byte, s.room())}
	c.bounce = bounce{fd: -1, size: s.payloadSize()}
	var err error
	if c.head, err = anonymous(os.Getpagesize()); err != nil {
		return nil, err
	}
	if q.pool == nil {
		c.payload, err = anonymous(s.payloadSize())
	}
	return c, err
}

// payloadSize is how much a request and its answer may have beside headers:
// the kernel asks for the largest READ or WRITE, and copier for some room
// around it.
func (s *Server) payloadSize() int { return max(s.maxRead, minPayload) + 2*directUnit }

// anonymous returns memory that starts on a page.
func anonymous(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("%d bytes of memory: %w", size, err)
	}
	return mem, nil
}

// sendCalls implements conn: an answer goes with the call that fetches the
// next request.
func (c *ringConn) sendCalls() uint64 { return 0 }

func (c *ringConn) ringed() uint64 { return 1 }

func (c *ringConn) close() {
	if c.ring != nil {
		c.ring.Close()
	}
	for _, mem := range [][]byte{c.head, c.payload} {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
	c.bounce.close()
}

// open makes the ring, and the queue if nobody has, and registers the entry.
// Once each queue of a connection has one, the kernel sends requests there.
func (c *ringConn) open() error {
	ring, err := uring.New(ringDepth)
	if err != nil {
		return err
	}
	c.ring = ring
	if c.queue.pool != nil {
		if err := ring.ReserveBuffers(slot + 1); err != nil {
			return err
		}
		if c.queue.make.Do(c.makeQueue); c.queue.err != nil {
			return c.queue.err
		}
	}
	c.register()
	if err := c.flush(); err != nil {
		return fmt.Errorf("entry of queue %d: %w", c.queue.number, err)
	}
	return nil
}

// makeQueue makes a queue of zero copy, with a pool.
func (c *ringConn) makeQueue() {
	q := c.queue
	e := c.command(cmdAddQueue)
	binary.NativeEndian.PutUint64(e.Command[0:], queueZeroCopy)
	if err := c.flush(); err != nil {
		q.err = fmt.Errorf("queue %d with zero copy, which needs CAP_SYS_ADMIN: %w", q.number, err)
		return
	}
	e = c.command(cmdAddPool)
	binary.NativeEndian.PutUint64(e.Command[24:], address(q.pool))
	binary.NativeEndian.PutUint32(e.Command[32:], uint32(len(q.pool)))
	if err := c.flush(); err != nil {
		q.err = fmt.Errorf("pool of queue %d: %w", q.number, err)
	}
}

// register submits the entry, with where its memory is: two struct iovec,
// which the kernel reads at once, in head behind what it uses of that.
func (c *ringConn) register() {
	iov := c.head[headSize:]
	for i, mem := range [][]byte{c.head[:headSize], c.payload} {
		binary.NativeEndian.PutUint64(iov[16*i:], address(mem))
		binary.NativeEndian.PutUint64(iov[16*i+8:], uint64(len(mem)))
	}
	e := c.command(cmdRegister)
	e.UserData = tagCommit
	e.Addr, e.Len = address(iov), 2
	if c.queue.pool != nil {
		binary.NativeEndian.PutUint16(e.Command[24:], slot)
	}
	c.waiting++
}

// address returns where mem is, 0 for none.
func address(mem []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) }

// command returns an entry for a command about c's queue.
func (c *ringConn) command(number uint64) *uring.Entry {
	e := c.ring.Entry()
	e.Op, e.FD, e.Off, e.UserData = uring.OpCommand, int32(c.dev), number, tagSetup
	binary.NativeEndian.PutUint16(e.Command[16:], c.queue.number)
	return e
}

func (c *ringConn) next() ([]byte, error) {
	for !c.fetched {
		if c.waiting == 0 {
			return nil, c.over()
		}
		if err := c.enter(1); err != nil {
			return nil, err
		}
	}
	c.fetched = false
	return c.message()
}

// over is the error when no request can come any more.
func (c *ringConn) over() error {
	if errors.Is(c.said, unix.ENOTCONN) || errors.Is(c.said, unix.ECONNABORTED) {
		return errEnded
	}
	c.count.refused.Add(1)
	return fmt.Errorf("answer on a ring: %w", c.said)
}

// enter submits what is prepared, waits for so many completions and takes all.
func (c *ringConn) enter(wait int) error {
	if err := c.ring.Enter(wait); err != nil {
		return err
	}
	for done, ok := c.ring.Completion(); ok; done, ok = c.ring.Completion() {
		c.take(done)
	}
	return nil
}

// take remembers a completion.
func (c *ringConn) take(done uring.Completion) {
	switch {
	case done.UserData == tagMove:
		c.moved, c.moves = done.Result, c.moves+1
		return
	case done.UserData == tagLinked && done.Result == -int32(unix.ECANCELED):
		return // tagMove has told that; the kernel does not always tell this
	case done.UserData != tagSetup:
		c.waiting--
		c.fetched = c.fetched || done.Result >= 0
	}
	if done.Result < 0 {
		c.said = unix.Errno(-done.Result)
	}
}

// message puts together the request in head.
func (c *ringConn) message() ([]byte, error) {
	ne := binary.NativeEndian
	size, payload := int(ne.Uint32(c.head)), int(ne.Uint32(c.head[headPayload:]))
	op := size - requestHeaderSize - payload
	if op < 0 || op > headEntry-headOp || size > len(c.in) {
		return nil, fmt.Errorf("request of %d bytes, %d of them outside of headers", size, payload)
	}
	c.now = ne.Uint64(c.head[headID:])
	c.zeroCopy = ne.Uint64(c.head[headEntry:])&requestZeroCopy != 0
	copy(c.in, c.head[:requestHeaderSize])
	copy(c.in[requestHeaderSize:], c.head[headOp:headOp+op])
	if payload == 0 {
		return c.in[:size], nil
	}
	data, err := c.received(payload)
	copy(c.in[size-payload:size], data)
	return c.in[:size], err
}

// received returns the payload of a request. That of a WRITE may be in the
// pages of its writer, which the server cannot see: they are written to a file
// that it can.
func (c *ringConn) received(size int) ([]byte, error) {
	if !c.zeroCopy {
		return c.room()[:size], nil
	}
	c.zeroCopy = false // it is over; the answer has none
	if err := c.bounce.open(); err != nil {
		return nil, err
	}
	n, err := c.move(uring.OpWriteFixed, c.bounce.fd, 0, 0, size)
	if err == nil && n != size {
		err = unix.EIO
	}
	return c.bounce.mem[:size], err
}

// room is the memory for payload of the request in head.
func (c *ringConn) room() []byte {
	if c.queue.pool == nil {
		return c.payload
	}
	return c.queue.pool[binary.NativeEndian.Uint32(c.head[headOffset:]):]
}

func (c *ringConn) send(header, data []byte) error {
	if c.serves(header) && len(data) > 0 {
		if err := c.place(data); err != nil {
			return err
		}
	}
	c.commit(header, len(data))
	return nil
}

// serves tells whether header answers the request that is being served. In
// what other cases tests make the kernel has to say that it knows none.
func (c *ringConn) serves(header []byte) bool { return binary.NativeEndian.Uint64(header[8:]) == c.now }

// place puts data where the kernel takes the payload of an answer.
func (c *ringConn) place(data []byte) error {
	if !c.zeroCopy {
		if room := c.room(); &room[0] != &data[0] {
			copy(room, data)
		}
		return nil
	}
	if err := c.bounce.open(); err != nil {
		return err
	}
	copy(c.bounce.mem, data)
	c.count.calls.Add(1)
	n, err := c.move(uring.OpReadFixed, c.bounce.fd, 0, 0, len(data))
	if err == nil && n != len(data) {
		err = unix.EIO
	}
	return err
}

// commit prepares an answer whose payload, of size bytes, is in place; the
// next enter submits it.
func (c *ringConn) commit(header []byte, size int) *uring.Entry {
	if c.serves(header) {
		copy(c.head, header[:replyHeaderSize])
		binary.NativeEndian.PutUint32(c.head[headPayload:], uint32(size))
		c.now = 0
	}
	e := c.command(cmdCommit)
	e.UserData = tagCommit
	copy(e.Command[8:16], header[8:16])
	c.waiting++
	return e
}

func (c *ringConn) flush() error {
	c.said = nil
	if err := c.enter(0); err != nil {
		return err
	}
	return c.said
}

// prepareMove prepares to move size bytes between the file fd, from off on, and
// the pages in the slot, from at on.
func (c *ringConn) prepareMove(op uint8, fd int, off uint64, at, size int) *uring.Entry {
	e := c.ring.Entry()
	e.Op, e.FD, e.Off, e.Addr, e.Len, e.Buffer, e.UserData = op, int32(fd), off, uint64(at), uint32(size), slot, tagMove
	return e
}

// move does that and returns how many bytes it were.
func (c *ringConn) move(op uint8, fd int, off uint64, at, size int) (int, error) {
	c.prepareMove(op, fd, off, at, size)
	for before := c.moves; c.moves == before; {
		if err := c.enter(1); err != nil {
			return 0, err
		}
	}
	return c.result()
}

// result is that of the last move.
func (c *ringConn) result() (int, error) {
	if c.moved < 0 {
		return 0, unix.Errno(-c.moved)
	}
	return int(c.moved), nil
}

// A bounce is a file with a mapping, through which bytes that are in the
// server's memory get into pages that it cannot see, and back.
type bounce struct {
	fd   int // -1 before the first use
	size int
	mem  []byte
}

// open readies b.
func (b *bounce) open() (err error) {
	if b.mem != nil {
		return nil
	}
	if b.fd, err = unix.MemfdCreate("fusesrv", unix.MFD_CLOEXEC); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	if err := unix.Ftruncate(b.fd, int64(b.size)); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	b.mem, err = unix.Mmap(b.fd, 0, b.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

func (b *bounce) close() {
	if b.mem != nil {
		_ = unix.Munmap(b.mem)
	}
	if b.fd >= 0 {
		unix.Close(b.fd)
	}
}

// possible is how many CPUs the kernel may ever have, hence how many queues:
// list is possibleCPUs as the kernel shows it, "0-3,8".
func possible(list string) (int, error) {
	total := 0
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || b < a {
			return 0, fmt.Errorf("%s: %q is no list of CPUs", possibleCPUs, list)
		}
		total += int(b-a) + 1
	}
	return total, nil
}
