package rsplice

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// replyErrors are the rows of the reply.
func replyErrors() []errorRow {
	return []errorRow{
		{"EBUSY/reply-during-fill", testReplyDuringFill},
		{"EINVAL/reply-with-hole", testReplyWithHole},
		{"EINVAL/reply-not-negotiated", testReplyNotNegotiated},
		{"ENOENT/reply-late", testReplyLate},
	}
}

func testReplyDuringFill(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		s.claim(t, req)
		s.fill(t, req.off, 100)
		f := s.fillLater(t, req)
		fails(t, "reply", rsplice.Reply(s.device, req.unique, 100), want)
		fails(t, "reply with data", s.replyData(req, req.size), want)
		fails(t, "reply at the end of the file", s.reply(req.unique, 0, nil), want)
		if _, err := unix.Write(f.far, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := f.ends(t); err != nil {
			t.Errorf("fill: %v", err)
		}
	})
}

func testReplyWithHole(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		fails(t, "reply before a claim", rsplice.Reply(s.device, req.unique, 1), want)
		s.claim(t, req)
		fails(t, "reply before a fill", rsplice.Reply(s.device, req.unique, 1), want)
		s.fill(t, req.off, 10)
		for _, n := range []int{11, req.size, req.size + 1, 1<<32 - 1 - 16} {
			fails(t, "reply with too much", rsplice.Reply(s.device, req.unique, n), want)
		}
	})
}

func testReplyNotNegotiated(t *testing.T, want unix.Errno) {
	s := mountWith(t, 0, 0)
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), want)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, int(s.size))
}

func testReplyLate(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		s.answer(t, req)
		fails(t, "second reply", rsplice.Reply(s.device, req.unique, req.size), want)
	})
}
