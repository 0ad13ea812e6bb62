package rsplice

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// Descriptors of a server that is a process of its own.
const (
	serveDevice = iota + 3
	servePipeR
	servePipeW
	serveSource
	serveSocket
)

// serveAndDie is a server that takes some steps towards the answer of a READ
// and kills itself. Its arguments are the READ's unique and size, and a letter
// for each step.
func serveAndDie(args string) error {
	var req request
	var steps string
	if _, err := fmt.Sscanf(args, "%d %d %s", &req.unique, &req.size, &steps); err != nil {
		return fmt.Errorf("steps %q: %w", args, err)
	}
	var off int64
	half := req.size / 2
	for _, step := range strings.TrimPrefix(steps, "-") {
		var err error
		switch step {
		case 'c':
			_, err = rsplice.Claim(serveDevice, req.unique, servePipeW, req.size, 0)
		case 'f':
			_, err = rsplice.Fill(servePipeR, serveSource, &off, half, 0)
		case 'd':
			_, err = rsplice.Direct(serveDevice, req.unique, serveSource, &off, half)
		case 'r':
			err = rsplice.Reply(serveDevice, req.unique, req.size)
		case 'F': // until killed
			dieSoon()
			_, err = rsplice.Fill(servePipeR, serveSocket, nil, half, 0)
		case 'D':
			dieSoon()
			_, err = rsplice.Direct(serveDevice, req.unique, serveSocket, nil, half)
		case 'C':
			dieSoon()
			_, err = rsplice.Complete(serveDevice, req.unique, serveSocket, nil, req.size)
		}
		if err != nil {
			return fmt.Errorf("step %c of %s: %w", step, steps, err)
		}
	}
	return unix.Kill(unix.Getpid(), unix.SIGKILL)
}

func dieSoon() {
	go func() {
		time.Sleep(30 * time.Millisecond)
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	}()
}

// A server may be killed after any of its calls, and in a fill: the reader goes
// on at once, and what is left in the pipe is of no use.
func TestServerMayDieAnywhere(t *testing.T) {
	for _, steps := range []string{"-", "-c", "-cf", "-cff", "-cffr", "-d", "-dd", "-ddr", "-cF", "-cfF", "-D", "-dD", "-dcF", "-C", "-dC"} {
		t.Run(steps[1:]+"-killed", func(t *testing.T) {
			each(t, func(t *testing.T, s *server) { serverDies(t, s, steps) })
		})
	}
}

func serverDies(t *testing.T, s *server, steps string) {
	r := s.read(t, 0, 2*guest.PageSize())
	req := s.next(t)
	socket, _ := newSocket(t)
	wait := s.startServer(t, req, steps, socket)
	unix.Close(s.device)
	s.device = -1
	if err := wait(); err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	res := r.wait(t, s)
	if took := time.Since(start); took > prompt {
		t.Errorf("the reader waited for %v", took)
	}
	if strings.HasSuffix(steps, "r") {
		r.got(t, s, res, 2*guest.PageSize())
	} else {
		r.getsNothingElse(t, s, res)
	}
	_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, rsplice.Nonblock)
	if !errors.Is(err, unix.ECANCELED) && !errors.Is(err, unix.EAGAIN) {
		t.Errorf("fill of what was left: %v", err)
	}
}

// startServer starts a process that takes steps towards the answer of a READ, with
// the server's descriptors and the source that is given for steps F and D, and
// returns a function that waits until it has been killed.
func (s *server) startServer(t *testing.T, req request, steps string, source int) (wait func() error) {
	t.Helper()
	child := as("serve", fmt.Sprintf("%d %d %s", req.unique, req.size, steps))
	child.Env = append(child.Env, "GODEBUG=asyncpreemptoff=1") // no signal but the one that kills
	for _, fd := range []int{s.device, s.pipe[0], s.pipe[1], s.sourceFD(), source} {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		child.ExtraFiles = append(child.ExtraFiles, os.NewFile(uintptr(dup), "inherited"))
	}
	err := child.Start()
	for _, f := range child.ExtraFiles {
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
			return fmt.Errorf("server: %w, want it killed", err)
		}
		return nil
	}
}

// getsNothingElse checks that a reader has an error, and that its memory holds
// nothing but what was there before and what is in the file.
func (r *reader) getsNothingElse(t *testing.T, s *server, res result) {
	t.Helper()
	if res.n != -1 {
		t.Errorf("read: %d, %v; want an error", res.n, res.errno)
	}
	mem := r.memory(t, s)
	want := make([]byte, r.size)
	_, _ = s.data.ReadAt(want, r.off)
	for i, b := range mem[r.margin : r.margin+r.size] {
		if b != canary && b != want[i] {
			t.Fatalf("byte %d of the reader's memory is %#02x: neither its own nor the file's", i, b)
		}
	}
	r.untouched(t, mem[:r.margin])
	r.untouched(t, mem[r.margin+r.size:])
}

// TestKilledReaderIsPrompt: a reader that is killed while its memory is claimed,
// or being filled, by a call that is to reply or by one that is not, goes as soon as
// it would without: at once if it waits for the page cache; when the server has
// answered the interrupt if for its own memory.
func TestKilledReaderIsPrompt(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.readerIsKilled(t, func(req request) func() {
			s.claim(t, req)
			return func() {}
		})
		s.readerIsKilled(t, func(req request) func() {
			s.claim(t, req)
			f := s.fillLater(t, req)
			return func() { fails(t, "fill", f.ends(t), unix.ECANCELED) }
		})
		s.readerIsKilled(t, func(req request) func() {
			f := s.completeLater(t, req)
			return func() { fails(t, "complete", f.ends(t), unix.ENOENT) }
		})
	})
}

// readerIsKilled kills a reader when the server has begun to answer it, and looks
// how that has ended.
func (s *server) readerIsKilled(t *testing.T, begin func(req request) (ended func())) {
	t.Helper()
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	ended := begin(req)
	s.other = s.interrupted(t, req)
	start := time.Now()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.whileServing(t, func() error { _ = r.cmd.Wait(); return nil })
	if took := time.Since(start); took > prompt {
		t.Errorf("the reader was killed, and gone after %v", took)
	}
	_ = s.reply(req.unique, unix.EINTR, nil) // unless that was done
	ended()
	s.drop(t)
}

// interrupted answers the interrupt of a READ with EINTR.
func (s *server) interrupted(t *testing.T, req request) func(opcode uint32, unique uint64) {
	return func(opcode uint32, _ uint64) {
		if opcode != opInterrupt {
			return
		}
		if err := s.reply(req.unique, unix.EINTR, nil); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Errorf("answer of an interrupt: %v", err)
		}
	}
}

// A task that is killed while it reads from a source that is not settled may leave
// behind I/O of which nobody knows when it ends. So the READ cannot succeed any
// more; it ends with an error, without the pages, and is asked for again.
func TestKilledFillOfAnUnsettledSource(t *testing.T) {
	need(t)
	// A new process closes the file and must not wait for the server by that; nor
	// must the task for the READ itself, but for its page.
	s, other := mount(t, keepCache), mountWith(t, noFlush, initAsyncRead)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	var asked []request
	s.killInAFill(t, req, other, func(req request) { asked = append(asked, req) })
	if len(asked) == 0 {
		t.Fatal("the source was not read: the test has shown nothing")
	}
	fails(t, "reply", rsplice.Reply(s.device, req.unique, 1), unix.EBUSY)
	fails(t, "reply with data", s.replyData(req, req.size), unix.EBUSY)
	_, err := rsplice.Complete(s.device, req.unique, s.sourceFD(), new(int64), 1)
	fails(t, "complete", err, unix.EBUSY)
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Errorf("error reply: %v", err)
	}
	for _, req := range asked {
		if err := other.replyData(req, req.size); err != nil && err != unix.ENOENT {
			t.Errorf("reply of the source: %v", err)
		}
	}
	r.gets(t, s, guest.PageSize())
}

// What such a task has read in full is there, though: the READ can be answered.
func TestKilledFillThatIsComplete(t *testing.T) {
	need(t)
	for range 5 { // a slow kernel kills the task before its request has been read
		if killedFillThatIsComplete(t) {
			return
		}
	}
	t.Error("the task was never killed while it read: the test has shown nothing")
}

// killedFillThatIsComplete tells whether the task was killed while it read.
func killedFillThatIsComplete(t *testing.T) bool {
	// A READ past the page cache waits for its answer even if it is interrupted.
	s, other := mount(t, keepCache), mountWith(t, noFlush|directIO, 0)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	var asked request
	answered := false
	other.other = func(opcode uint32, unique uint64) {
		if opcode != opInterrupt || unique != asked.unique|1 || answered { // FUSE_INT_REQ_BIT
			return
		}
		answered = true
		if err := other.replyData(asked, asked.size); err != nil {
			t.Errorf("reply of the source: %v", err)
		}
	}
	s.killInAFill(t, req, other, func(req request) { asked = req })
	if !answered {
		_ = s.reply(req.unique, unix.EIO, nil)
		r.wait(t, s)
		return false
	}
	if err := s.replyData(req, req.size); err != nil {
		t.Fatalf("reply with data: %v", err)
	}
	r.got(t, s, r.wait(t, s), guest.PageSize())
	return true
}

// killInAFill has a new process claim the memory of a READ and fill it from the file
// of other, where it is killed; asked is called for each READ of that.
func (s *server) killInAFill(t *testing.T, req request, other *server, asked func(request)) {
	t.Helper()
	died := make(chan error, 1)
	go func() {
		source, err := unix.Open(other.file(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = s.startServer(t, req, "-cF", source)()
			unix.Close(source)
		}
		died <- err
	}()
	for {
		select {
		case err := <-died:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
			if req, is, _ := other.handle(idleWait); is {
				asked(req)
			}
		}
	}
}

// A fill holds the lock of its pipe. So the exit of a server waits for another
// process that fills from a pipe of both, and may keep the device open; abort, and
// the end of the fill, do not wait for the server.
func TestServerDiesDuringAFillOfAnotherProcess(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *server, f *filling){
		"abort":    func(t *testing.T, s *server, _ *filling) { s.abort(t) },
		"end-fill": func(t *testing.T, _ *server, f *filling) { unix.Shutdown(f.far, unix.SHUT_RDWR) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) {
				r := s.read(t, 0, guest.PageSize())
				req := s.next(t)
				s.claim(t, req)
				f := s.fillLater(t, req)
				socket, _ := newSocket(t)
				wait := s.startServer(t, req, "-", socket)
				unix.Close(s.device)
				s.device = -1
				end(t, s, f)
				if err := f.ends(t); err != nil && err != unix.ECANCELED {
					t.Errorf("fill: %v", err)
				}
				start := time.Now()
				if err := wait(); err != nil {
					t.Fatal(err)
				}
				r.getsNothingElse(t, s, r.wait(t, s))
				if took := time.Since(start); took > prompt {
					t.Errorf("server and reader have gone after %v", took)
				}
			})
		})
	}
}
