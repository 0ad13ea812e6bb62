package rsplice

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// prompt is the longest that an end may take which no disk is asked for: much,
// for a slow machine with a debug kernel, and less than anything waits for ever.
const prompt = 20 * time.Second

// A filling is a fill that waits for a socket.
type filling struct {
	far  int // what is written here it reads
	done chan error
}

// fillLater starts a fill of all of a claimed READ from a socket without data,
// and returns when the kernel has begun it.
func (s *server) fillLater(t *testing.T, req request) *filling {
	t.Helper()
	near, far := newSocket(t)
	return s.began(t, req, far, func() error {
		_, err := rsplice.Fill(s.pipe[0], near, nil, req.size, 0)
		return err
	})
}

// completeLater is fillLater for one call that does it all.
func (s *server) completeLater(t *testing.T, req request) *filling {
	t.Helper()
	near, far := newSocket(t)
	s.trickle(t, far, req, 0, 100)
	return s.began(t, req, far, func() error {
		_, err := rsplice.Complete(s.device, req.unique, near, nil, req.size)
		return err
	})
}

// began starts a fill of a READ from the other end of far, and returns when the
// kernel has begun it.
func (s *server) began(t *testing.T, req request, far int, fill func() error) *filling {
	t.Helper()
	f := &filling{far: far, done: make(chan error, 1)}
	go func() { f.done <- fill() }()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case err := <-f.done:
			t.Fatalf("fill ends at once: %v", err)
		default:
		}
		switch err := rsplice.Reply(s.device, req.unique, req.size); err {
		case unix.EBUSY:
			return f
		case unix.EINVAL: // not begun yet
		default:
			t.Fatalf("reply: %v, want EINVAL or EBUSY", err)
		}
	}
	t.Fatal("fill does not begin")
	return nil
}

// ends waits for the fill and returns its error.
func (f *filling) ends(t *testing.T) error {
	t.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(prompt):
		t.Fatalf("fill still waits after %v", prompt)
		return nil
	}
}

// late offers the fill data that nobody may see any more.
func (f *filling) late(t *testing.T) {
	t.Helper()
	if _, err := unix.Write(f.far, []byte("too late, too late, too late")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
}

func TestReplyDuringAFillIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		f := s.fillLater(t, req)
		fails(t, "ordinary reply", s.replyData(req, req.size), unix.EBUSY)
		b := make([]byte, req.size)
		_, _ = s.data.ReadAt(b, req.off)
		if _, err := unix.Write(f.far, b); err != nil {
			t.Fatal(err)
		}
		if err := f.ends(t); err != nil {
			t.Errorf("fill: %v", err)
		}
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply after the fill: %v", err)
		}
		r.gets(t, s, guest.PageSize())
	})
}

func TestErrorReplyEndsAFill(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		f := s.fillLater(t, req)
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
		fails(t, "fill", f.ends(t), unix.ECANCELED)
		f.late(t)
		if s.openFlags&directIO != 0 {
			r.fails(t, s, unix.EIO)
			return
		}
		// readahead has failed; the page is asked for again, and has
		// the file's bytes
		r.gets(t, s, guest.PageSize())
	})
}

func TestForcedUnmountEndsAFill(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		f := s.fillLater(t, req)
		start := time.Now()
		// busy, with a file open; the connection is aborted all the same
		_ = unix.Unmount(s.dir, unix.MNT_FORCE)
		if took := time.Since(start); took > prompt {
			t.Errorf("umount -f took %v", took)
		}
		fails(t, "fill", f.ends(t), unix.ECANCELED)
		f.late(t)
		r.fails(t, s, unix.ECONNABORTED, unix.EIO, unix.ENOTCONN)
		_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 1, 0)
		fails(t, "claim", err, unix.ENOENT)
	})
}

func TestClosedCloneEndsItsRequests(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		clone, device := cloneOf(t, s), s.device
		s.device = clone
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		f := s.fillLater(t, req)
		s.device = device
		unix.Close(clone)
		fails(t, "fill", f.ends(t), unix.ECANCELED)
		f.late(t)
		if s.openFlags&directIO != 0 {
			r.fails(t, s, unix.ECONNABORTED)
			return
		}
		r.gets(t, s, guest.PageSize())
	})
}

func TestBuffersOutliveTheMount(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.end()
		s.device, s.afterUnmount, s.beforeUnmount = -1, nil, nil
		_, err := rsplice.Fill(s.pipe[0], int(s.source.Fd()), nil, 1, 0)
		fails(t, "fill", err, unix.ECANCELED)
	})
}

func TestKilledReaderKeepsItsMemoryUntilTheReply(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.fill(t, req.off, 100)
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		s.fill(t, req.off+100, req.size-100)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		s.serve(t)
	})
}

// freeMemory is how much memory nobody uses, in bytes.
func freeMemory(t *testing.T) int {
	t.Helper()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	return int(info.Freeram) * int(info.Unit)
}

// Folios that were thrown out of the page cache belong to nobody when the fill that
// wrote to them is over.
func TestFoliosThatAreGivenUpAreFreed(t *testing.T) {
	need(t)
	s := mountSize(t, keepCache, rsplice.InitFlag|initAsyncRead, maxRead/guest.PageSize())
	fd := s.keepOpen(t)
	round := func() (given int) {
		// asks for all, and waits for nothing
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED); err != nil {
			t.Fatal(err)
		}
		for given < int(s.size) {
			req := s.next(t)
			s.giveUp(t, req)
			given += req.size
		}
		return given
	}
	const all = 16 << 20
	round() // the first one costs more
	before, given := freeMemory(t), 0
	for given < all {
		given += round()
	}
	if lost := before - freeMemory(t); lost > all/2 {
		t.Errorf("%d bytes were given up, and %d are gone", given, lost)
	} else {
		t.Logf("%d bytes were given up, %d less are free", given, lost)
	}
}
