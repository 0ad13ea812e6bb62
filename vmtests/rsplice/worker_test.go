package rsplice

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A worker is a thread of a server that answers each READ in another way.
type worker struct {
	server
	t       *testing.T
	rng     *rand.Rand
	total   *tally
	other   [2]int // a second pipe
	near    int    // a socket that is a source
	far     int
	disk    int // a block device with the contents of the file
	rawDisk int // the same, O_DIRECT
	// again is held, to read, by who fetches a READ, and by who has one that was
	// sent again until it is answered. If that were sent once more, two workers
	// would have it by the same unique; both would claim and fill it, each as if
	// it were alone.
	again *sync.RWMutex
	bad   func(format string, args ...any)
}

func newWorker(t *testing.T, s *server, device int, rng *rand.Rand, again *sync.RWMutex, total *tally) *worker {
	t.Helper()
	w := &worker{server: *s, t: t, rng: rng, again: again, total: total, other: newPipe(t), bad: t.Errorf}
	w.device = device
	w.pipe = newPipe(t)
	w.buf = make([]byte, len(s.buf))
	w.near, w.far = newSocket(t)
	w.disk = s.newLoop(t, 0)
	w.rawDisk = s.newLoop(t, unix.O_DIRECT)
	return w
}

// work answers until it is told to stop or the device has nothing any more.
func (w *worker) work(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		w.openFlags = []uint32{0, keepCache, directIO}[w.rng.IntN(3)]
		poll := []unix.PollFd{{Fd: int32(w.device), Events: unix.POLLIN}}
		_, _ = unix.Poll(poll, 10) // ms; what comes of it is told by the next one
		err := w.one()
		switch {
		case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.EPERM):
			time.Sleep(10 * time.Millisecond)
		case err != nil && !errors.Is(err, unix.ETIMEDOUT) && !expected(err):
			w.bad("worker: %v", err)
			return
		}
	}
}

// one answers a request, if there is one.
func (w *worker) one() error {
	w.again.RLock()
	req, is, err := w.handle(0)
	if req.unique&uniqueResend == 0 {
		w.again.RUnlock()
	} else {
		defer w.again.RUnlock()
	}
	if is && req.size > 0 {
		w.answerSomehow(req)
	}
	return err
}

// resendAll has all READs sent again that are with a worker, unless there is one
// among them that was.
func (w *worker) resendAll() error {
	if !w.again.TryLock() {
		return unix.EAGAIN
	}
	defer w.again.Unlock()
	return w.resend()
}

// ways are what a worker does with a READ. Each may leave it unanswered.
func (w *worker) ways() map[string]func(req request) error {
	return map[string]func(req request) error{
		"copy":             func(req request) error { return w.replyData(req, req.size) },
		"claim, fill":      w.claimAndFill,
		"direct":           w.direct,
		"direct, blocks":   w.directFromDisk,
		"complete":         w.completely,
		"parts":            w.inParts,
		"socket":           w.fromSocket,
		"claims left":      w.claimsLeft,
		"hole":             w.hole,
		"error in a fill":  w.errorDuringFill,
		"reply in a fill":  w.replyDuringFill,
		"resend":           func(request) error { return w.resendAll() },
		"nothing at first": func(request) error { time.Sleep(time.Millisecond); return nil },
		"process killed":   w.processKilled,
	}
}

// names are the ways in an order that does not change.
func names() []string {
	return []string{"copy", "claim, fill", "claim, fill", "direct", "direct", "direct, blocks", "complete", "complete", "parts", "parts", "socket",
		"claims left", "hole", "error in a fill", "reply in a fill", "resend", "nothing at first"}
}

func (w *worker) answerSomehow(req request) {
	name := names()[w.rng.IntN(len(names()))]
	if w.rng.IntN(100) == 0 { // it takes as long as many others
		name = "process killed"
	}
	err := w.ways()[name](req)
	w.total.count(name, err)
	if !expected(err) {
		w.bad("%s: %v", name, err)
	}
	// whatever has come of it, the READ must have an answer
	for err = w.replyData(req, req.size); errors.Is(err, unix.EBUSY); err = w.replyData(req, req.size) {
		time.Sleep(time.Millisecond)
	}
	if !expected(err) {
		w.bad("%s, then copy: %v", name, err)
	}
	// A reply that was accepted has taken the memory back. One that was not,
	// since the READ is being sent again or ended by others at this moment,
	// may be a little ahead of them.
	w.empty(w.pipe, err == nil)
	w.empty(w.other, err == nil)
}

// empty drops what is left in a pipe; that must be stale if the READ has been
// answered.
func (w *worker) empty(p [2]int, answered bool) {
	for {
		n, err := rsplice.Fill(p[0], w.sourceFD(), new(int64), 1<<20, rsplice.Nonblock)
		switch {
		case err == nil && n > 0:
			if answered {
				w.bad("a buffer of a READ that has been answered could be filled")
			}
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECANCELED):
		default:
			return
		}
	}
}

// claim claims size bytes of a READ.
func (w *worker) claim(req request, size int) error {
	n, err := rsplice.Claim(w.device, req.unique, w.pipe[1], size, 0)
	if err == nil && n < size {
		w.bad("claim: %d of %d", n, size)
	}
	return err
}

func (w *worker) claimAndFill(req request) error {
	if err := w.claim(req, req.size); err != nil {
		return err
	}
	for off := req.off; off < req.off+int64(req.size); {
		part := 1 + w.rng.IntN(req.size)
		k, err := rsplice.Fill(w.pipe[0], w.sourceFD(), &off, part, rsplice.Nonblock)
		if err != nil {
			return err
		}
		if k == 0 {
			w.bad("fill: 0 at %d", off)
			return nil
		}
	}
	return rsplice.Reply(w.device, req.unique, req.size)
}

func (w *worker) direct(req request) error {
	end := req.off + int64(req.size)
	for off := req.off; off < end; {
		n, err := rsplice.Direct(w.device, req.unique, w.sourceFD(), &off, 1+w.rng.IntN(req.size))
		if err != nil {
			return err
		}
		if n == 0 {
			w.bad("direct: 0 at %d of %d", off, end)
			return nil
		}
	}
	return rsplice.Reply(w.device, req.unique, req.size)
}

// completely fills a part, then the rest with the reply.
func (w *worker) completely(req request) error {
	off := req.off
	if w.rng.IntN(2) == 0 {
		if _, err := rsplice.Direct(w.device, req.unique, w.sourceFD(), &off, w.rng.IntN(req.size)); err != nil {
			return err
		}
	}
	n, err := rsplice.Complete(w.device, req.unique, w.sourceFD(), &off, req.size)
	if err == nil && n != req.size {
		w.bad("complete: %d of %d", n, req.size)
	}
	return err
}

func (w *worker) directFromDisk(req request) error {
	disk := w.disk
	if w.rng.IntN(2) == 0 && req.off%512 == 0 && req.size%512 == 0 {
		disk = w.rawDisk
	}
	off := req.off
	n, err := rsplice.Direct(w.device, req.unique, disk, &off, req.size)
	if err != nil || n < req.size { // a short reply would be the end of the file
		return err
	}
	return rsplice.Reply(w.device, req.unique, n)
}

// inParts moves the front to another pipe and fills the back first.
func (w *worker) inParts(req request) error {
	if err := w.claim(req, req.size); err != nil {
		return err
	}
	front := w.rng.IntN(req.size)
	if front > 0 {
		if _, err := rsplice.Move(w.pipe[0], w.other[1], front, 0); err != nil {
			return err
		}
	}
	off := req.off + int64(front)
	if _, err := rsplice.Fill(w.pipe[0], w.disk, &off, req.size, 0); err != nil {
		return err
	}
	off = req.off
	if front > 0 {
		if _, err := rsplice.Fill(w.other[0], w.sourceFD(), &off, front, 0); err != nil {
			return err
		}
	}
	return rsplice.Reply(w.device, req.unique, req.size)
}

func (w *worker) fromSocket(req request) error {
	b := make([]byte, req.size)
	_, _ = w.data.ReadAt(b, req.off)
	for len(b) > 0 {
		n, err := unix.Write(w.far, b[:min(len(b), 1+w.rng.IntN(30000))])
		if err != nil {
			return err
		}
		for left := n; left > 0; {
			k, err := rsplice.Direct(w.device, req.unique, w.near, nil, left)
			if err != nil {
				w.drain()
				return err
			}
			left -= k
		}
		b = b[n:]
	}
	return rsplice.Reply(w.device, req.unique, req.size)
}

// drain takes what is left in the socket.
func (w *worker) drain() {
	b := make([]byte, 1<<16)
	for {
		if n, _, err := unix.Recvfrom(w.near, b, unix.MSG_DONTWAIT); n <= 0 || err != nil {
			return
		}
	}
}

// claimsLeft claims, fills a part with wrong bytes, and leaves it at that.
func (w *worker) claimsLeft(req request) error {
	if err := w.claim(req, 1+w.rng.IntN(req.size)); err != nil {
		return err
	}
	off := int64(w.rng.IntN(guest.PageSize()))
	_, err := rsplice.Fill(w.pipe[0], w.sourceFD(), &off, 1+w.rng.IntN(req.size), 0)
	return err
}

// processKilled lets another process begin an answer and be killed, which fills
// nothing: the READ may have been sent again before it comes to that.
func (w *worker) processKilled(req request) error {
	steps := []string{"-c", "-cF", "-D", "-C"}[w.rng.IntN(4)]
	what := "process killed after steps " + steps[1:]
	if err := w.startServer(w.t, req, steps, w.near)(); err != nil {
		what = "process killed: too late for the READ"
	}
	w.total.count(what, nil)
	return nil
}

func (w *worker) hole(req request) error {
	off := req.off
	part := w.rng.IntN(req.size)
	if part > 0 {
		if _, err := rsplice.Direct(w.device, req.unique, w.sourceFD(), &off, part); err != nil {
			return err
		}
	}
	err := rsplice.Reply(w.device, req.unique, req.size)
	if err == nil {
		w.bad("a reply with %d bytes of %d in place was accepted", part, req.size)
	}
	return err
}

// beganFill starts a fill that gets no data, and waits until the kernel knows.
func (w *worker) beganFill(req request) (done chan error, err error) {
	if err := w.claim(req, req.size); err != nil {
		return nil, err
	}
	done = make(chan error, 1)
	go func() {
		_, err := rsplice.Fill(w.pipe[0], w.near, nil, req.size, 0)
		done <- err
	}()
	for range 100 {
		err = rsplice.Reply(w.device, req.unique, req.size)
		if !errors.Is(err, unix.EINVAL) {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	if err == nil {
		w.bad("a reply with nothing in place was accepted")
	}
	return done, err
}

// over waits for a fill that must have been interrupted.
func (w *worker) over(done chan error) {
	select {
	case err := <-done:
		if err == nil {
			w.bad("a fill without data has succeeded")
		}
	case <-time.After(prompt):
		w.bad("a fill was not interrupted")
		_, _ = unix.Write(w.far, make([]byte, 1))
		<-done
		w.drain()
	}
}

func (w *worker) errorDuringFill(req request) error {
	done, err := w.beganFill(req)
	if done == nil {
		return err
	}
	if err := w.reply(req.unique, unix.EIO, nil); !expected(err) {
		w.bad("error reply during a fill: %v", err)
	}
	if w.rng.IntN(2) == 0 { // data that the reader must not see any more
		_, _ = unix.Write(w.far, make([]byte, 1+w.rng.IntN(req.size)))
		<-done
		w.drain()
		return err
	}
	w.over(done)
	return err
}

// replyDuringFill tries, and lets the fill have its data then.
func (w *worker) replyDuringFill(req request) error {
	done, err := w.beganFill(req)
	if done == nil {
		return err
	}
	// a signal, of which Go has some, lets the fill begin again: in between a
	// reply may succeed
	w.total.count("reply in a fill, the reply", w.replyData(req, req.size))
	b := make([]byte, min(req.size, 100000))
	_, _ = w.data.ReadAt(b, req.off)
	if _, err := unix.Write(w.far, b); err != nil {
		w.bad("socket: %v", err)
	}
	<-done
	w.drain()
	return err
}
