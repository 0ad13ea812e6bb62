package rsplice

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

func TestDirectFillsWithoutAPipe(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		part := guest.PageSize() + 10
		off := req.off
		n, err := rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, part)
		moves(t, "direct", n, err, part)
		fails(t, "reply with a part", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
		n, err = rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, 2*req.size)
		moves(t, "direct, the rest", n, err, req.size-part)
		n, err = rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, 1)
		moves(t, "direct when all is claimed", n, err, 0)
		if off != req.off+int64(req.size) {
			t.Errorf("position %d, want %d", off, req.off+int64(req.size))
		}
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestDirectGivesBackWhatIsEmpty(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		off := s.size - 10
		n, err := rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, req.size)
		moves(t, "direct at the end of the source", n, err, 10)
		n, err = rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, req.size)
		moves(t, "direct behind the end of the source", n, err, 0)
		near, _ := newSocket(t)
		if err := unix.SetNonblock(near, true); err != nil {
			t.Fatal(err)
		}
		_, err = rsplice.Direct(s.device, req.unique, near, nil, req.size)
		fails(t, "direct from a socket without data", err, unix.EAGAIN)
		n, err = rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, 0)
		moves(t, "claim of the rest", n, err, req.size-10)
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

// What a call did not fill is lost if somebody has claimed what is behind it: to
// give it back would be to give out the other's bytes again, too. Then these would
// be counted twice, and a hole would pass.
func TestNothingIsGivenBackBeforeAnotherClaim(t *testing.T) {
	interrupting(t, unix.SIGUSR2)
	each(t, func(t *testing.T, s *server) {
		s.givesNothingBack(t, rsplice.Direct)
		s.givesNothingBack(t, rsplice.Complete)
	})
}

// givesNothingBack interrupts a call that has the first page of a READ when the
// second one has been claimed.
func (s *server) givesNothingBack(t *testing.T, call func(device int, unique uint64, source int, off *int64, size int) (int, error)) {
	t.Helper()
	page := guest.PageSize()
	r := s.read(t, 0, 4*page)
	req := s.next(t)
	near, far := newSocket(t)
	thread := make(chan int, 1)
	f := s.began(t, req, far, func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		_, err := call(s.device, req.unique, near, nil, page)
		return err
	})
	n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], page, 0)
	moves(t, "claim of the second page", n, err, page)
	_ = unix.Tgkill(unix.Getpid(), <-thread, unix.SIGUSR2)
	fails(t, "call with a signal", f.ends(t), unix.EINTR)

	n, err = rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, 0)
	moves(t, "claim of the rest", n, err, req.size-2*page)
	s.fill(t, req.off+int64(page), req.size-page)
	fails(t, "reply without the first page", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, 4*page)
}

func TestDirectEndsWithItsRequest(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		near, far := newSocket(t)
		f := s.began(t, req, far, func() error {
			_, err := rsplice.Direct(s.device, req.unique, near, nil, req.size)
			return err
		})
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
		fails(t, "direct", f.ends(t), unix.ENOENT)
		f.late(t)
		if s.openFlags&directIO != 0 {
			r.fails(t, s, unix.EIO)
			return
		}
		r.gets(t, s, guest.PageSize())
	})
}
