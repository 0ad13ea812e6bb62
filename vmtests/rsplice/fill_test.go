package rsplice

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// claim puts all of a READ into the server's pipe.
func (s *server) claim(t *testing.T, req request) {
	t.Helper()
	n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, rsplice.Nonblock)
	moves(t, "claim", n, err, req.size)
}

// fill fills n bytes from the source at off.
func (s *server) fill(t *testing.T, off int64, n int) {
	t.Helper()
	end := off + int64(n)
	got, err := rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, n, rsplice.Nonblock)
	moves(t, "fill", got, err, n)
	if off != end {
		t.Errorf("fill: position %d afterwards, want %d", off, end)
	}
}

// answer claims, fills and replies.
func (s *server) answer(t *testing.T, req request) {
	t.Helper()
	s.claim(t, req)
	s.fill(t, req.off, req.size)
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
}

// answerAll is answer for the READs of a whole file.
func (s *server) answerAll(t *testing.T) {
	t.Helper()
	for left := int(s.size); left > 0; {
		req := s.next(t)
		s.answer(t, req)
		left -= req.size
	}
}

func newSocket(t *testing.T) (near, far int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p[0], p[1]
}

func cloneOf(t *testing.T, s *server) int {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.IoctlSetPointerInt(fd, cloneDevice, s.device); err != nil {
		t.Fatalf("clone: %v", err)
	}
	return fd
}

func TestReaderGetsWhatWasFilled(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, int(s.size))
		s.answerAll(t)
		r.gets(t, s, int(s.size))
		if s.copied > 0 {
			t.Errorf("%d READs were answered by copying", s.copied)
		}
	})
}

func TestUserMemoryOfAnyAlignmentIsFilled(t *testing.T) {
	need(t)
	s := mount(t, directIO)
	size := 2*guest.PageSize() + 5
	r := s.read(t, 77, size)
	req := s.next(t)
	if req.off != 77 || req.size != size {
		t.Fatalf("READ %d at %d, want %d at 77", req.size, req.off, size)
	}
	s.answer(t, req)
	r.gets(t, s, size)
}

// A read that is submitted and completed later, O_DIRECT with io_uring, is filled
// like any other.
func TestAsynchronousReadIsFilled(t *testing.T) {
	need(t)
	s := mountWith(t, directIO, rsplice.InitFlag|initAsyncDIO)
	s.async = true
	r := s.read(t, 0, int(s.size))
	s.answerAll(t)
	r.gets(t, s, int(s.size))
}

func TestClaimsContinueAndEnd(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		for left := req.size; left > 0; {
			part := min(1000, left)
			n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], part, 0)
			moves(t, "claim", n, err, part)
			s.fill(t, req.off+int64(req.size-left), part)
			left -= part
		}
		n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 1, 0)
		moves(t, "claim when all is claimed", n, err, 0)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestFillsMayComeInAnyOrder(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		front := newPipe(t)
		part := guest.PageSize() + 10
		n, err := rsplice.Move(s.pipe[0], front[1], part, 0)
		moves(t, "move", n, err, part)
		s.fill(t, req.off+int64(part), req.size-part)
		fails(t, "reply with the front missing", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
		off := req.off
		n, err = rsplice.Fill(front[0], int(s.source.Fd()), &off, part, 0)
		moves(t, "fill of the front", n, err, part)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestFillEndsWithItsSource(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		off := s.size - 10
		n, err := rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, req.size, 0)
		moves(t, "fill at the end of the file", n, err, 10)
		n, err = rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, req.size, 0)
		moves(t, "fill behind the end of the file", n, err, 0)
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestSocketIsASource(t *testing.T) {
	for name, connect := range map[string]func(t *testing.T) (near, far int){"unix": newSocket, "tcp": newTCP} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) { testSocket(t, s, connect) })
		})
	}
}

func testSocket(t *testing.T, s *server, connect func(t *testing.T) (near, far int)) {
	r := s.read(t, 0, 2*guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	near, far := connect(t)
	b := make([]byte, req.size)
	_, _ = s.data.ReadAt(b, req.off)
	for len(b) > 0 {
		part := min(3000, len(b))
		if _, err := unix.Write(far, b[:part]); err != nil {
			t.Fatal(err)
		}
		n, err := rsplice.Fill(s.pipe[0], near, nil, req.size, 0)
		moves(t, "fill", n, err, part)
		b = b[part:]
	}
	if err := unix.Shutdown(far, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
	r.gets(t, s, 2*guest.PageSize())
}

func TestUserMemoryNeedsASettledSource(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		zero, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(zero)
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		n, err := rsplice.Fill(s.pipe[0], zero, nil, 10, 0)
		if s.openFlags&directIO != 0 {
			fails(t, "fill from /dev/zero", err, unix.EOPNOTSUPP)
		} else {
			moves(t, "fill from /dev/zero", n, err, 10)
		}
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		// A buffer without a request is in nobody's way, whatever the source.
		_, err = rsplice.Fill(s.pipe[0], zero, nil, 10, 0)
		fails(t, "fill when the request has ended", err, unix.ECANCELED)
		r.gets(t, s, 2*guest.PageSize())
	})
}
