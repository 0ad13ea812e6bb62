package rsplice

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// completeErrors are the rows that are about completion alone.
func completeErrors() []errorRow {
	return []errorRow{
		{"EBUSY/complete-during-fill", testCompleteDuringFill},
		{"EINVAL/complete-with-pipe", testCompleteWithPipe},
		{"EINVAL/complete-with-hole", testCompleteWithHole},
	}
}

// complete answers a READ from the server's source with size bytes.
func (s *server) complete(req request, size int) (int, error) {
	off := req.off
	return rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, size)
}

// waits fails the test if the reader has its bytes, or an error.
func (r *reader) waits(t *testing.T) {
	t.Helper()
	select {
	case res := <-r.returned:
		t.Fatalf("read(2) has returned %d, %v before the READ was answered", res.n, res.errno)
	case <-time.After(20 * time.Millisecond):
	}
}

func TestCompleteFillsAndReplies(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, int(s.size))
		for left := int(s.size); left > 0; {
			req := s.next(t)
			n, err := s.complete(req, req.size)
			moves(t, "complete", n, err, req.size)
			_, err = s.complete(req, req.size)
			fails(t, "complete again", err, unix.ENOENT)
			fails(t, "reply as well", rsplice.Reply(s.device, req.unique, req.size), unix.ENOENT)
			left -= req.size
		}
		r.gets(t, s, int(s.size))
		if s.copied > 0 {
			t.Errorf("%d READs were answered by copying", s.copied)
		}
	})
}

// What was claimed and filled before, with a pipe or without, counts.
func TestCompleteFillsWhatIsMissing(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		part := guest.PageSize() + 10
		n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], part, 0)
		moves(t, "claim", n, err, part)
		s.fill(t, req.off, part)
		off := req.off + int64(part)
		n, err = rsplice.Direct(s.device, req.unique, s.sourceFD(), &off, part)
		moves(t, "claim and fill", n, err, part)
		r.waits(t)
		n, err = rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, req.size)
		moves(t, "complete", n, err, req.size)
		if off != req.off+int64(req.size) {
			t.Errorf("position %d afterwards, want %d", off, req.off+int64(req.size))
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestCompleteOfWhatIsFilledReadsNothing(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.fill(t, req.off, req.size)
		near, far := newSocket(t)
		if _, err := unix.Write(far, []byte("more")); err != nil {
			t.Fatal(err)
		}
		n, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
		moves(t, "complete", n, err, req.size)
		n, err = unix.IoctlGetInt(near, unix.TIOCINQ)
		moves(t, "bytes in the socket", n, err, len("more"))
		r.gets(t, s, 4*guest.PageSize())
	})
}

// The server may end the file before its source ends, even at its beginning;
// more than the READ asked for is not more.
func TestCompleteEndsTheFileWhereTheServerSays(t *testing.T) {
	page := guest.PageSize()
	for name, size := range map[string]int{"in a page": page + 10, "between pages": 2 * page, "at its beginning": 0, "too far": 5 * page} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) {
				want := min(size, 4*page)
				s.size = int64(max(want, 1)) // so that READs that follow get no more either
				r := s.read(t, 0, 4*page)
				req := s.next(t)
				want = min(want, req.size)
				n, err := s.complete(req, size)
				moves(t, "complete", n, err, want)
				if s.openFlags&directIO == 0 && want == 0 {
					s.size = 0
				}
				r.getsExactly(t, s, want)
			})
		})
	}
}

func TestCompleteEndsTheFileWhereTheSourceEnds(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs"} {
		for name, flags := range map[string]int{"buffered": 0, "direct": unix.O_DIRECT} {
			t.Run(fsType+"-"+name, func(t *testing.T) {
				each(t, func(t *testing.T, s *server) {
					s.completesAt(t, open(t, filepath.Join(mountImage(t, fsType), "data"), unix.O_RDONLY|flags))
				})
			})
		}
	}
}

// completesAt checks that a READ gets what is in an image, and no more.
func (s *server) completesAt(t *testing.T, source int) {
	t.Helper()
	s.margin, s.size = alignedMargin, imageSize
	r := s.read(t, 0, 4*guest.PageSize())
	req := s.next(t)
	var off int64
	n, err := rsplice.Complete(s.device, req.unique, source, &off, req.size)
	moves(t, "complete", n, err, imageSize)
	moves(t, "position", int(off), nil, imageSize)
	r.getsExactly(t, s, imageSize)
}

// getsExactly is gets, and behind the end of the file, too, there is nothing.
func (r *reader) getsExactly(t *testing.T, s *server, n int) {
	t.Helper()
	res := r.wait(t, s)
	if res.n != n || res.tail != 0 {
		t.Errorf("read: %d, %v, %d bytes behind the end are not zero; want %d, and none", res.n, res.errno, res.tail, n)
		return
	}
	guest.Same(t, s.data, r.memory(t, s)[r.margin:r.margin+n], 0)
}

// trickle writes the bytes [from, to) of a READ to a socket.
func (s *server) trickle(t *testing.T, far int, req request, from, to int) {
	t.Helper()
	b := make([]byte, to-from)
	_, _ = s.data.ReadAt(b, req.off+int64(from))
	for len(b) > 0 {
		n, err := unix.Write(far, b)
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
}

// A stream that has nothing for the moment has not ended.
func TestCompleteWaitsForAStream(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		f := s.began(t, req, far, func() error {
			n, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
			moves(t, "complete", n, err, req.size)
			return err
		})
		for from := 0; from < req.size; from += 3000 {
			r.waits(t)
			s.trickle(t, far, req, from, min(from+3000, req.size))
		}
		_ = f.ends(t)
		r.gets(t, s, 2*guest.PageSize())
	})
}

func TestCompleteEndsWithAStream(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		part := guest.PageSize() + 10
		s.size = int64(part)
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		s.trickle(t, far, req, 0, part)
		if err := unix.Shutdown(far, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		n, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
		moves(t, "complete", n, err, part)
		r.gets(t, s, part)
	})
}

// An error answers nothing; what came before it is kept, and the same call goes
// on from there.
func TestCompleteGoesOnAfterAnError(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		nonblock(t, near)
		for from := 0; from < req.size; from += 3000 {
			_, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
			fails(t, "complete without more data", err, unix.EAGAIN)
			r.waits(t)
			s.trickle(t, far, req, from, min(from+3000, req.size))
		}
		n, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
		moves(t, "complete", n, err, req.size)
		r.gets(t, s, 2*guest.PageSize())
	})
}

// The source's position is behind what was read before an error, its own or the
// file's.
func TestCompleteMovesThePositionBeforeAnError(t *testing.T) {
	page := guest.PageSize()
	each(t, func(t *testing.T, s *server) {
		good := s.newSource(t)
		disk := s.newLoop(t, 0)
		if err := os.Truncate(s.source.Name(), int64(page)); err != nil {
			t.Fatal(err)
		}
		for name, off := range map[string]*int64{"its own": new(int64), "the file's": nil} {
			if err := unix.Fadvise(disk, 0, 0, unix.FADV_DONTNEED); err != nil {
				t.Fatal(err)
			}
			r := s.read(t, 0, 3*page)
			req := s.next(t)
			_, err := rsplice.Complete(s.device, req.unique, disk, off, req.size)
			fails(t, "complete from a disk with a bad page, "+name+" position", err, unix.EIO)
			r.waits(t)
			at, err := unix.Seek(disk, 0, unix.SEEK_CUR)
			if off != nil {
				at = *off
			}
			moves(t, name+" position", int(at), err, page)
			n, err := rsplice.Complete(s.device, req.unique, int(good.Fd()), &at, req.size)
			moves(t, "complete", n, err, req.size)
			r.gets(t, s, 3*page)
		}
	})
}

// A call that a signal interrupts is started again by the kernel, with the length
// that it had at first: that is not how much is to be read from there on.
func TestCompleteIsRestarted(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.size = int64(guest.PageSize() + 10)
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		thread, done := make(chan int, 1), make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			thread <- unix.Gettid()
			n, err := rsplice.Complete(s.device, req.unique, near, nil, int(s.size))
			if n != int(s.size) && err == nil {
				err = unix.EPROTO
			}
			done <- err
		}()
		tid := <-thread
		for from := 0; from < int(s.size); from += 1000 {
			s.trickle(t, far, req, from, min(from+1000, int(s.size)))
			// Go's handler of this signal, which has SA_RESTART, does nothing.
			for range 3 {
				time.Sleep(2 * time.Millisecond)
				_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGURG)
			}
		}
		s.trickle(t, far, req, 0, 100) // not to be read
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("complete: %v", err)
			}
		case <-time.After(prompt):
			t.Fatalf("complete waits for more than it was to read, after %v", prompt)
		}
		n, err := unix.IoctlGetInt(near, unix.TIOCINQ)
		moves(t, "bytes left in the socket", n, err, 100)
		r.gets(t, s, int(s.size))
	})
}

// A signal whose handler wants system calls to end does not end the file.
func TestCompleteIsNotEndedByASignal(t *testing.T) {
	interrupting(t, unix.SIGUSR2)
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		for from := 0; from < req.size; from += 3000 {
			fails(t, "complete with a signal", signalled(t, func() (int, error) {
				return rsplice.Complete(s.device, req.unique, near, nil, req.size)
			}), unix.EINTR)
			r.waits(t)
			s.trickle(t, far, req, from, min(from+3000, req.size))
		}
		n, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
		moves(t, "complete", n, err, req.size)
		r.gets(t, s, 2*guest.PageSize())
	})
}

// An offset that cannot be written is found out in time: the READ is not answered.
func TestCompleteWritesThePositionFirst(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		readOnly, err := unix.Mmap(-1, 0, guest.PageSize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		_, err = raw(s.device, uintptr(unsafe.Pointer(&req.unique)), s.sourceFD(), uintptr(unsafe.Pointer(&readOnly[0])),
			uintptr(req.size), rsplice.FlagComplete)
		fails(t, "complete with an offset that cannot be written", err, unix.EFAULT)
		r.waits(t)
		n, err := s.complete(req, req.size)
		moves(t, "complete", n, err, req.size)
		r.gets(t, s, 2*guest.PageSize())
	})
}

func TestCompleteEndsWithItsRequest(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		f := s.completeLater(t, req)
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
		fails(t, "complete", f.ends(t), unix.ENOENT)
		f.late(t)
		if s.openFlags&directIO != 0 {
			if res := r.wait(t, s); res.n != -1 || res.errno != unix.EIO {
				t.Errorf("read: %d, %v; want %v", res.n, res.errno, unix.EIO)
			}
			return
		}
		r.gets(t, s, guest.PageSize())
	})
}

func testCompleteWithPipe(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		other, off := newPipe(t), req.off
		const flags = rsplice.FlagComplete
		for _, size := range []int{0, req.size} {
			_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], size, flags)
			fails(t, "claim", err, want)
			_, err = rsplice.Fill(s.pipe[0], s.sourceFD(), &off, size, flags)
			fails(t, "fill", err, want)
			_, err = rsplice.Move(s.pipe[0], other[1], size, flags)
			fails(t, "move", err, want)
		}
	})
}

func testCompleteWithHole(t *testing.T, want unix.Errno) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 100, 0)
		moves(t, "claim", n, err, 100)
		off := req.off + 100
		for range 2 { // the second has nothing to fill
			_, err = rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, req.size)
			fails(t, "complete", err, want)
		}
		moves(t, "position", int(off), nil, int(req.off)+req.size)
		r.waits(t)
		s.fill(t, req.off, 100)
		n, err = rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, req.size)
		moves(t, "complete", n, err, req.size)
		r.gets(t, s, 2*guest.PageSize())
	})
}

func testCompleteDuringFill(t *testing.T, want unix.Errno) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 100, 0)
		moves(t, "claim", n, err, 100)
		f := s.fillLater(t, req)
		off := req.off + 100
		for range 2 {
			_, err = rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, req.size)
			fails(t, "complete", err, want)
		}
		r.waits(t)
		s.trickle(t, f.far, req, 0, 100)
		if err := f.ends(t); err != nil {
			t.Errorf("fill: %v", err)
		}
		n, err = rsplice.Complete(s.device, req.unique, s.sourceFD(), &off, req.size)
		moves(t, "complete", n, err, req.size)
		r.gets(t, s, 2*guest.PageSize())
	})
}
