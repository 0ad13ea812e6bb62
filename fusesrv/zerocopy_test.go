package fusesrv

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/uring"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	untouched = 0xc5 // what a reader's memory holds before
	late      = 'L'  // what a fill brings that comes too late
	patience  = 20 * time.Second
)

// A crooked server of io_uring-zc answers its first READ, of size bytes, by do;
// later ones as it should. Do runs on the worker's thread.
type crooked struct {
	t    *testing.T
	srv  *Server
	conn *ringConn // of the first READ, while do runs
	pipe pipe      // an empty one to fill from
	name string    // the file
	fd   int       // it, opened by read
	of   pattern.Pattern
	size int
	do   func(c *crooked, r *read) error
	seen atomic.Bool
	back chan struct{} // closed when the reader has its answer
}

// A crookedWorker is the answerer of one worker.
type crookedWorker struct {
	*crooked
	own *fixedFiller
}

func (w *crookedWorker) close() {}

func (w *crookedWorker) answer(r *read) error {
	if w.seen.Swap(true) {
		return w.own.answer(r)
	}
	w.conn = w.own.conn
	if !w.conn.zeroCopy || r.size != w.size {
		w.t.Errorf("READ of %d bytes, zero copy %v", r.size, w.conn.zeroCopy)
	}
	err := w.do(w.crooked, r)
	if err != nil {
		w.t.Errorf("what the server did: %v", err)
	}
	return err
}

// newCrooked mounts a server; flags are for its file, O_DIRECT or none.
func newCrooked(t *testing.T, do func(c *crooked, r *read) error) *crooked {
	t.Helper()
	guest.Need(t)
	guest.Since(t, guest.Release{Major: 7, Minor: 3}, "zero copy of FUSE over io_uring")
	if err := os.WriteFile(ringParameter, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	poisonMemory(t)
	c := &crooked{t: t, of: pattern.Pattern{Seed: 7, File: 3}, size: 4 * guest.PageSize(), do: do, back: make(chan struct{})}
	data := make([]byte, c.size)
	_, _ = c.of.ReadAt(data, 0) // never fails
	src, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.name = filepath.Join(dir, "f")
	if err := unix.Pipe2(c.pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.pipe[0]); unix.Close(c.pipe[1]) })
	c.mount(src, dir)
	return c
}

// mount serves until the end of the test.
func (c *crooked) mount(src, dir string) {
	c.t.Helper()
	dev, err := openDevice()
	if err != nil {
		c.t.Fatal(err)
	}
	o := Options{Path: "io_uring-zc", Valid: time.Hour}
	if c.srv, err = newServer(dir, dev, Loopback(src), &o); err != nil {
		c.t.Fatal(err)
	}
	c.srv.path.open = func(on conn, _ int) (answerer, error) {
		return &crookedWorker{crooked: c, own: &fixedFiller{conn: on.(*ringConn)}}, nil
	}
	if err := c.srv.start(dev, 1); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := c.srv.Abort(); err != nil {
			c.t.Error(err)
		}
	})
}

// poisonMemory fills what is free next.
func poisonMemory(t *testing.T) {
	t.Helper()
	mem, err := anonymous(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	copy(mem, "uninitialised...")
	for done := 16; done < len(mem); done *= 2 {
		copy(mem[done:], mem[:done])
	}
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
}

// A reading is what a reader has got, in memory of its own.
type reading struct {
	mem []byte
	n   int
	err error
}

// read reads the file, opened with flags too, in one call.
func (c *crooked) read(flags int) *reading {
	c.t.Helper()
	// Not by package os, which asks whether the file can be polled: that is a
	// request, and a call in which the runtime lets no other goroutine run.
	fd, err := unix.Open(c.name, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.fd = fd
	c.t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM); err != nil {
		c.t.Fatal(err)
	}
	r := &reading{}
	if r.mem, err = anonymous(c.size); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = unix.Munmap(r.mem) })
	for i := range r.mem {
		r.mem[i] = untouched
	}
	done := make(chan struct{})
	go func() { defer close(done); r.n, r.err = unix.Pread(fd, r.mem, 0) }()
	select {
	case <-done:
	case <-time.After(patience):
		c.t.Fatal("the reader does not return")
	}
	close(c.back)
	return r
}

// again reads without asking the server, from the cache.
func (c *crooked) again() []byte {
	c.t.Helper()
	b := make([]byte, c.size)
	if n, err := unix.Pread(c.fd, b, 0); n != c.size || err != nil {
		c.t.Errorf("read again: %d, %v", n, err)
	}
	return b
}

// fillLater begins to fill from the pipe, which is empty.
func (c *crooked) fillLater() error {
	c.conn.prepareMove(uring.OpReadFixed, c.pipe[0], 1<<64-1, 0, c.size)
	before := c.conn.moves
	err := c.conn.enter(0)
	if c.conn.moves != before {
		c.t.Errorf("a fill from an empty pipe ended with %d", c.conn.moved)
	}
	return err
}

// fillNow lets that fill end.
func (c *crooked) fillNow() {
	c.t.Helper()
	if n, err := unix.Write(c.pipe[1], bytes.Repeat([]byte{late}, c.size)); n != c.size || err != nil {
		c.t.Errorf("write to the pipe: %d, %v", n, err)
	}
}

// succeed answers r with all its bytes, whatever they are.
func (c *crooked) succeed(r *read) error {
	var header [replyHeaderSize]byte
	putReplyHeader(header[:], r.unique, 0, r.size)
	c.conn.commit(header[:], r.size)
	return c.conn.flush()
}

// becomesLate waits until look sees nothing but what a late fill brings.
func (c *crooked) becomesLate(what string, look func() []byte) {
	c.t.Helper()
	want := bytes.Repeat([]byte{late}, c.size)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if bytes.Equal(look(), want) {
			return
		}
	}
	c.t.Errorf("%s: not changed any more by a late fill: the kernel has learnt to prevent it, say so in doc.go", what)
}

// memory returns what the reader has, as it is now.
func (r *reading) memory() []byte { return bytes.Clone(r.mem) }

// waitFor fails the test if the reader has no answer in time.
func (c *crooked) waitFor(what chan struct{}) {
	select {
	case <-what:
	case <-time.After(patience):
		c.t.Error("waited in vain")
	}
}

// TestZeroCopyLetsTheServer documents what the kernel allows a server of io_uring-zc.
// Package vmtests/rsplice tries the same with rsplice(2), in TestServerCannot:
// there none succeeds. A case that fails here is an improvement of the kernel.
func TestZeroCopyLetsTheServer(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"SucceedWithNothingFilled":           succeedWithNothingFilled,
		"SucceedDuringAFill":                 succeedDuringAFill,
		"FailDuringAFillOfTheReadersMemory":  failDuringAFill,
		"KeepTheMemoryInAnotherTable":        keepTheMemory,
		"FillTheReadersMemoryAfterAnAbort":   fillAfterAbort,
		"BeginToFillItAfterAnAbort":          beginAfterAbort,
		"LeaveTheReadersMemoryAsItWasAndLie": succeedWithNothingDirect,
	} {
		t.Run(name, test)
	}
}

// The reader gets what was in memory before.
func succeedWithNothingFilled(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error { return c.succeed(r) })
	poisonMemory(t)
	got := c.read(0)
	if got.n != c.size || got.err != nil {
		t.Fatalf("read: %d, %v; an answer with nothing filled is not taken any more, say so in doc.go", got.n, got.err)
	}
	if c.of.Check(got.mem, 0) == nil || bytes.Count(got.mem, []byte{untouched}) == c.size {
		t.Error("the reader has the file's bytes, or its own")
	}
	old := 0
	for _, word := range []string{"uninitialised...", strings.Repeat("\xaa", 16)} { // page_poison=1
		old += 16 * bytes.Count(got.mem, []byte(word))
	}
	if old == 0 {
		t.Error("nothing of it is from memory that had been freed: poison shows nothing")
	}
	t.Logf("%d bytes that were not written, %d of them from memory that had been freed", c.size, old)
}

// A reader past the cache keeps what it had, and believes that it read.
func succeedWithNothingDirect(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error { return c.succeed(r) })
	got := c.read(unix.O_DIRECT)
	if got.n != c.size || bytes.Count(got.mem, []byte{untouched}) != c.size {
		t.Errorf("read: %d, %v, %d bytes untouched", got.n, got.err, bytes.Count(got.mem, []byte{untouched}))
	}
}

// The page is up to date and mapped by whoever wants it when it changes.
func succeedDuringAFill(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		return errors.Join(c.fillLater(), c.succeed(r))
	})
	if got := c.read(0); got.n != c.size {
		t.Fatalf("read: %d, %v", got.n, got.err)
	}
	c.fillNow()
	c.becomesLate("the page cache", c.again)
	if n := c.srv.Stats().Reads; n != 1 {
		t.Errorf("%d READs: the pages were not the same all the time", n)
	}
}

func failDuringAFill(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		return errors.Join(c.fillLater(), r.fail(unix.EIO))
	})
	got := c.read(unix.O_DIRECT)
	if got.err != syscall.EIO {
		t.Errorf("read: %d, %v, want EIO", got.n, got.err)
	}
	c.fillNow()
	c.becomesLate("memory of a reader that had an error", got.memory)
}

// keepTheMemory clones the table of registered buffers, which the kernel cannot
// take back.
func keepTheMemory(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		other, err := uring.New(ringDepth)
		if err != nil {
			return err
		}
		defer other.Close()
		if err := other.CloneBuffers(c.conn.ring); err != nil {
			return err
		}
		if _, err := c.conn.move(uring.OpReadFixed, r.fd, 0, 0, r.size); err != nil {
			return err
		}
		if err := c.succeed(r); err != nil {
			return err
		}
		c.waitFor(c.back)
		c.fillNow()
		e := other.Entry()
		e.Op, e.FD, e.Off, e.Len, e.Buffer = uring.OpReadFixed, int32(c.pipe[0]), 1<<64-1, uint32(r.size), slot
		return other.Enter(1)
	})
	got := c.read(0)
	if got.n != c.size || c.of.Check(got.mem, 0) != nil {
		t.Fatalf("read: %d, %v, %v", got.n, got.err, c.of.Check(got.mem, 0))
	}
	c.becomesLate("the page cache", c.again)
}

// abort ends the connection while a READ is being served.
func (c *crooked) abort() error {
	err := unix.Unmount(filepath.Dir(c.name), unix.MNT_FORCE)
	if err == nil || errors.Is(err, unix.EBUSY) { // busy, and ended all the same
		c.waitFor(c.back)
		return nil
	}
	return err
}

func fillAfterAbort(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		before := c.conn.moves
		err := errors.Join(c.fillLater(), c.abort())
		c.fillNow()
		for err == nil && c.conn.moves == before {
			err = c.conn.enter(1)
		}
		return err
	})
	got := c.read(unix.O_DIRECT)
	if got.err == nil {
		t.Errorf("read of an aborted connection: %d", got.n)
	}
	c.becomesLate("memory of a reader of an aborted connection", got.memory)
}

// beginAfterAbort: the kernel forgets to empty the slot.
func beginAfterAbort(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		if err := c.abort(); err != nil {
			return err
		}
		c.fillNow()
		_, err := c.conn.move(uring.OpReadFixed, c.pipe[0], 1<<64-1, 0, r.size)
		return err
	})
	got := c.read(unix.O_DIRECT)
	if got.err == nil {
		t.Errorf("read of an aborted connection: %d", got.n)
	}
	c.becomesLate("memory of a reader of an aborted connection", got.memory)
}

// What the kernel does prevent: reading what is in the pages, and reaching beyond.
func TestZeroCopyBuffersAreOnlyWrittenAndBounded(t *testing.T) {
	c := newCrooked(t, func(c *crooked, r *read) error {
		for name, x := range map[string]struct {
			op       uint8
			fd       int
			at, size int
		}{
			"pages read":           {uring.OpWriteFixed, c.pipe[1], 0, r.size},
			"more than there is":   {uring.OpReadFixed, r.fd, 0, r.size + 1},
			"behind what is there": {uring.OpReadFixed, r.fd, r.size, 1},
		} {
			if _, err := c.conn.move(x.op, x.fd, 0, x.at, x.size); !errors.Is(err, unix.EFAULT) {
				c.t.Errorf("%s: %v, want EFAULT", name, err)
			}
		}
		own := &fixedFiller{conn: c.conn}
		return own.answer(r)
	})
	if got := c.read(0); got.n != c.size || c.of.Check(got.mem, 0) != nil {
		t.Errorf("read: %d, %v, %v", got.n, got.err, c.of.Check(got.mem, 0))
	}
}
