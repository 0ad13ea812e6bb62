package rsplice

import (
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
