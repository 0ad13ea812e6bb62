package rsplice

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

func TestReplyWithAHoleIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		refused := func(when string, n int) {
			t.Helper()
			fails(t, "reply "+when, rsplice.Reply(s.device, req.unique, n), unix.EINVAL)
		}
		refused("before a claim", req.size)
		s.claim(t, req)
		refused("before a fill", 1)
		s.fill(t, req.off, 100)
		refused("with one byte too many", 101)
		refused("with nearly all missing", req.size)
		s.fill(t, req.off+100, req.size-100)
		refused("larger than the READ", req.size+1)
		refused("larger than any READ", 1<<32-1-16)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply with all in place: %v", err)
		}
		fails(t, "second reply", rsplice.Reply(s.device, req.unique, req.size), unix.ENOENT)
		r.gets(t, s, 4*guest.PageSize())
	})
}

// What was filled behind the bytes that the reply announces must not be seen
// either, by mmap(2) behind the end of the file.
func TestShortReplyHidesWhatIsBehind(t *testing.T) {
	need(t)
	s := mount(t, 0)
	s.size = int64(guest.PageSize()) + 100
	r := s.read(t, 0, 2*guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	s.fill(t, 0, req.size)
	if err := rsplice.Reply(s.device, req.unique, int(s.size)); err != nil {
		t.Fatalf("reply: %v", err)
	}
	if res := r.wait(t, s); res.n != int(s.size) || res.tail != 0 {
		t.Errorf("read: %d, %v, and %d bytes behind the end are not zero; want %d and none",
			res.n, res.errno, res.tail, s.size)
	}
}

// Nor may what was filled into the pages behind that one.
func TestShortReplyHidesAllPagesBehind(t *testing.T) {
	need(t)
	shortReplyInAHole(t, pagesOfFile)
}

// shortReplyInAHole fills all of a READ and announces a page and a bit. With the
// write-back cache that is not the end of the file but a hole in it, so that
// read(2) sees all that is behind: zeroes.
func shortReplyInAHole(t *testing.T, pages int) {
	s := mountSize(t, keepCache, rsplice.InitFlag|initWriteback, pages)
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	for req.off < s.size/2 && req.off+int64(req.size) < s.size {
		s.answer(t, req)
		req = s.next(t)
	}
	have := guest.PageSize() + 100
	if req.size < 4*guest.PageSize() {
		t.Fatalf("READ %d at %d: nothing is tested", req.size, req.off)
	}
	s.claim(t, req)
	s.fill(t, req.off, req.size)
	end := int(req.off) + have
	if err := rsplice.Reply(s.device, req.unique, have); err != nil {
		t.Fatalf("reply: %v", err)
	}
	if res := r.wait(t, s); res.n != int(s.size) {
		t.Fatalf("read: %d, %v", res.n, res.errno)
	}
	mem := r.memory(t, s)[s.margin:]
	guest.Same(t, s.data, mem[:end], 0)
	guest.Zero(t, mem[end:int(req.off)+req.size], int64(end))
}

func TestReplyMayAnnounceLessThanWasFilled(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.size = 99
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.fill(t, 0, 300) // as long as the file is in truth
		if err := rsplice.Reply(s.device, req.unique, int(s.size)); err != nil {
			t.Fatalf("reply: %v", err)
		}
		if res := r.wait(t, s); res.n != int(s.size) || res.tail > 0 {
			t.Errorf("read: %d, %v, and %d bytes behind the end are not zero; want %d and none",
				res.n, res.errno, res.tail, s.size)
		}
	})
}

func TestOrdinaryReplyTakesTheMemoryBack(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.fill(t, 1, 50) // the wrong bytes
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		var off int64
		_, err := rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, 1, rsplice.Nonblock)
		fails(t, "fill after the reply", err, unix.ECANCELED)
		_, err = rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, 1, rsplice.Nonblock)
		fails(t, "fill once more", err, unix.EAGAIN)
		_, err = rsplice.Claim(s.device, req.unique, s.pipe[1], 1, 0)
		fails(t, "claim after the reply", err, unix.ENOENT)
		r.gets(t, s, 4*guest.PageSize())
	})
}

func TestResentRequestHasNewBuffers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		s.fill(t, req.off, req.size-1)
		if err := s.resend(); err != nil {
			t.Fatalf("resend: %v", err)
		}
		again := s.next(t)
		if again.unique != req.unique|uniqueResend {
			t.Fatalf("resent as %#x, want %#x", again.unique, req.unique|uniqueResend)
		}
		var off int64
		_, err := rsplice.Fill(s.pipe[0], int(s.source.Fd()), &off, 1, 0)
		fails(t, "fill of an old buffer", err, unix.ECANCELED)
		_, err = rsplice.Claim(s.device, req.unique, s.pipe[1], 1, 0)
		fails(t, "claim of the old number", err, unix.ENOENT)
		s.claim(t, again)
		fails(t, "reply with the old bytes", rsplice.Reply(s.device, again.unique, again.size), unix.EINVAL)
		s.fill(t, again.off, again.size)
		if err := rsplice.Reply(s.device, again.unique, again.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}
