package fusesrv

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// requestRoom is what a message may hold beside the data of a WRITE, and
	// a reply beside the data asked for.
	requestRoom = 4096
	// minBuffer is the longest list of extended attributes (XATTR_LIST_MAX),
	// the largest reply that does not depend on MaxRead.
	minBuffer = 64 << 10
	// An INTERRUPT can overtake its request where another worker fetched
	// that: it is looked for so often, with so long a pause.
	interruptTries = 10
	interruptPause = time.Millisecond
	// yieldEvery is after how many bytes of READs a worker lets the Go runtime
	// schedule, each READ counted as readRoom bytes more for what it costs itself.
	// From a goroutine that has not been scheduled for 10 ms the runtime takes the
	// P in each call, looking every 20 µs (retake in runtime/proc.go): with READs
	// of 1 MiB, 6 % of what the server costs. Scheduling costs 7 instructions for each
	// KiB itself if it comes after each of those, which is 2 to 5 % of rsplice-direct.
	// 2 MiB take the path that costs most, copy, some 10 ms of a clock that counts 4 ns
	// for an instruction; with 4 MiB that and splice cost more.
	yieldEvery = 2 << 20
	readRoom   = 16 << 10
)

// errEnded says that the connection is over: unmounted or aborted.
var errEnded = errors.New("connection ended")

// A worker serves requests from a device descriptor of its own.
type worker struct {
	srv    *Server
	conn   conn
	dev    int // the device, which the paths that are not on a ring use themselves
	out    []byte
	readIn fuse.ReadIn
	now    read // the READ that is being answered, or was last
	answer answerer
	copier *copier       // for READs that answer is not fit for; nil before the first
	never  chan struct{} // READs are not cancelled: nothing is ever sent
	// reading is the READ that is being answered, 0 between two.
	reading atomic.Uint64
	served  int // bytes of READs since it has yielded
}

// newWorker returns a worker on the device dev, which is closed with it.
func newWorker(s *Server, dev int) (*worker, error) {
	open := s.path.open
	if s.path.ring != nil {
		open = func(conn, int) (answerer, error) { return noReads{}, ringsAllowed() }
	}
	c := &device{fd: dev}
	w, err := workerOn(s, c, dev, open)
	if err != nil {
		return nil, err
	}
	c.in = make([]byte, s.room()) // a path may refuse to read that much
	if !s.spliceWrites {
		return w, nil
	}
	d, err := newSplicedDevice(c, s.room())
	if err != nil {
		w.answer.close()
		return nil, err
	}
	w.conn = d
	return w, nil
}

// workerOn returns a worker on c whose READs are answered by what open opens.
func workerOn(s *Server, c conn, dev int, open func(conn, int) (answerer, error)) (*worker, error) {
	a, err := open(c, s.maxRead)
	if err != nil {
		return nil, fmt.Errorf("read path %s: %w", s.path.Name, err)
	}
	return &worker{
		srv: s, conn: c, dev: dev, answer: a,
		out: make([]byte, s.room()), never: make(chan struct{}),
	}, nil
}

// room is how long a message may be, and its answer, in bytes.
func (s *Server) room() int { return max(s.maxRead, minBuffer) + requestRoom }

// run serves until the connection ends, and says before whether it can. On an
// io_uring it has a thread of its own: see package uring.
func (w *worker) run(ready chan<- error) {
	if w.conn.ringed() > 0 {
		runtime.LockOSThread()
	}
	err := w.conn.open()
	ready <- err
	if err != nil {
		return
	}
	for {
		q, err := w.next()
		if err != nil {
			return
		}
		w.serve(q)
		w.yield()
	}
}

// yield lets the Go runtime schedule now and then. A thread of its own has nothing
// to gain: to come back to it takes longer than the runtime's looking at it.
func (w *worker) yield() {
	if w.conn.ringed() == 0 && w.served >= yieldEvery {
		w.served = 0
		runtime.Gosched()
	}
}

// close frees the worker's answerer and connection.
func (w *worker) close() {
	w.answer.close()
	w.conn.close()
}

// next waits for a request. Any error but errEnded is unexpected, and as
// final.
func (w *worker) next() (request, error) {
	msg, err := w.conn.next()
	if err != nil {
		return request{}, err
	}
	q, ok := parseRequest(msg)
	if !ok {
		return request{}, fmt.Errorf("message of %d bytes", len(msg))
	}
	w.srv.count.requests.Add(1)
	return q, nil
}

// serve answers one request and counts a refused reply.
func (w *worker) serve(q request) {
	var err error
	switch q.opcode {
	case opRead:
		err = w.read(q)
	case opInterrupt:
		err = w.interrupt(q)
	case opWrite:
		if d, ok := w.conn.(*splicedDevice); ok {
			err = w.write(q, d)
			break
		}
		err = w.forward(q)
	default:
		err = w.forward(q)
	}
	if err == nil {
		return
	}
	w.srv.count.refused.Add(1)
	// The reader must not wait for ever; nothing is left to do if this fails.
	_ = replyError(w.conn, q.unique, unix.EIO)
}

// read answers a READ through the server's path.
func (w *worker) read(q request) error {
	w.reading.Store(q.unique)
	defer w.reading.Store(0)
	r := &w.now
	*r = read{conn: w.conn, dev: w.dev, unique: q.unique, count: &w.srv.count, hooks: &w.srv.hooks}
	r.count.reads.Add(1)
	r.count.ringed.Add(w.conn.ringed())
	r.count.calls.Add(1)
	if !q.parseRead(&w.readIn, w.srv.maxRead) {
		return r.fail(unix.EINVAL)
	}
	if r.hooks.OnRead != nil {
		if no := r.hooks.OnRead(); no != 0 {
			return r.fail(no)
		}
	}
	res, status := w.srv.raw.Read(w.never, &w.readIn, nil)
	if !status.Ok() {
		return r.fail(syscall.Errno(status))
	}
	from, ok := res.(*source)
	if !ok {
		return r.fail(unix.EBADF)
	}
	r.off, r.asked, r.size = int64(w.readIn.Offset), int(w.readIn.Size), int(w.readIn.Size)
	w.served += r.size + readRoom
	done, err := from.begin(r)
	if err != nil {
		return r.fail(errnoOf(err))
	}
	defer done()
	return w.answerBy(r)
}

// answerBy has the path answer r, or the copier if the path is not fit for it.
func (w *worker) answerBy(r *read) error {
	err := w.answer.answer(r)
	if !errors.Is(err, errUnfit) {
		return err
	}
	r.count.fallbacks.Add(1)
	if w.copier == nil {
		w.copier = newCopier(w.srv.maxRead)
	}
	return w.copier.answer(r)
}

// forward has go-fuse answer q.
func (w *worker) forward(q request) error {
	n, status := w.srv.proto.HandleRequest([][]byte{q.msg}, [][]byte{w.out})
	if !status.Ok() {
		return replyError(w.conn, q.unique, syscall.Errno(status))
	}
	if n == 0 {
		return nil // FORGET and its like have no reply
	}
	return (&read{}).sent(w.conn.send(w.out[:replyHeaderSize], w.out[replyHeaderSize:n]))
}

// interrupt passes an INTERRUPT on to go-fuse, if its request is there. It
// needs no reply: the kernel would take one only on the descriptor that
// fetched the request, to send the INTERRUPT again.
func (w *worker) interrupt(q request) error {
	unique, ok := q.interrupted()
	for range interruptTries {
		if !ok || w.srv.isReading(unique) {
			return nil
		}
		n, _ := w.srv.proto.HandleRequest([][]byte{q.msg}, [][]byte{w.out})
		if n == 0 {
			return nil
		}
		time.Sleep(interruptPause)
	}
	return nil
}
