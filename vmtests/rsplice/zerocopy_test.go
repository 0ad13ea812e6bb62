package rsplice

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A misdeed is what a server may do to its readers where FUSE over io_uring lends
// it their memory (Linux 7.3, zero copy), tried with rsplice(2).
type misdeed struct {
	name string
	try  func(t *testing.T, s *server, r *reader, req request)
}

// misdeeds: a function for each. It ends the READ or leaves it to its caller; what
// the reader sees is checked afterwards.
func misdeeds() []misdeed {
	return []misdeed{
		{"read-what-was-there", readWhatWasThere},
		{"fill-behind-the-request", fillBehindTheRequest},
		{"success-with-nothing-filled", successWithNothing},
		{"success-during-a-fill", successDuringFill},
		{"error-during-a-fill", errorDuringFill},
		{"fill-after-the-reply-by-another-pipe", fillAfterTheReply},
		{"claim-after-the-reply", claimAfterTheReply},
		{"abort-during-a-fill", abortDuringFill},
		{"claim-and-fill-after-an-abort", fillAfterAbort},
		{"unaligned-direct-source", unalignedSource},
	}
}

// TestServerCannot tries each misdeed. None succeeds: the reader gets the file's
// bytes or an error, and its memory stays as it is from then on, which the reader
// itself looks after.
func TestServerCannot(t *testing.T) {
	for _, m := range misdeeds() {
		t.Run(m.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) {
				r := s.read(t, 0, 4*guest.PageSize())
				req := s.next(t)
				m.try(t, s, r, req)
				if err := s.replyData(req, req.size); err != nil && err != unix.ENOENT {
					t.Errorf("reply: %v", err)
				}
				if res := r.wait(t, s); res.n >= 0 {
					r.got(t, s, res, 4*guest.PageSize())
				} else {
					r.getsNothingElse(t, s, res)
				}
			})
		})
	}
}

// READ of a buffer, upstream's WRITE_FIXED out of it: what is in the pipe cannot
// be had. TestEmptyBuffersCannotBeRead has all the ways.
func readWhatWasThere(t *testing.T, s *server, _ *reader, req request) {
	s.claim(t, req)
	_, err := unix.Read(s.pipe[0], make([]byte, 10))
	fails(t, "read", err, unix.EACCES)
}

func fillBehindTheRequest(t *testing.T, s *server, _ *reader, req request) {
	n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size+guest.PageSize(), 0)
	moves(t, "claim of more than there is", n, err, req.size)
	off := req.off
	n, err = rsplice.Fill(s.pipe[0], s.sourceFD(), &off, req.size+guest.PageSize(), 0)
	moves(t, "fill of more than there is", n, err, req.size)
	fails(t, "reply with more than there is", rsplice.Reply(s.device, req.unique, req.size+1), unix.EINVAL)
}

func successWithNothing(t *testing.T, s *server, _ *reader, req request) {
	fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	s.claim(t, req)
	fails(t, "reply after a claim", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	s.fill(t, req.off, req.size-1)
	fails(t, "reply with one byte missing", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
}

func successDuringFill(t *testing.T, s *server, _ *reader, req request) {
	s.claim(t, req)
	f := s.fillLater(t, req)
	for _, n := range []int{1, req.size} {
		fails(t, "reply", rsplice.Reply(s.device, req.unique, n), unix.EBUSY)
	}
	fails(t, "reply with data", s.replyData(req, req.size), unix.EBUSY)
	f.late(t)
	_ = f.ends(t)
}

func errorDuringFill(t *testing.T, s *server, _ *reader, req request) {
	s.claim(t, req)
	f := s.fillLater(t, req)
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Errorf("error reply: %v", err)
	}
	fails(t, "fill", f.ends(t), unix.ECANCELED)
	f.late(t)
}

// Upstream: a clone of the buffer table keeps the memory. Here the buffers have
// been moved to a pipe of their own.
func fillAfterTheReply(t *testing.T, s *server, _ *reader, req request) {
	s.claim(t, req)
	kept := newPipe(t)
	n, err := rsplice.Move(s.pipe[0], kept[1], req.size, 0)
	moves(t, "move", n, err, req.size)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	off := s.size / 2
	_, err = rsplice.Fill(kept[0], s.sourceFD(), &off, req.size, 0)
	fails(t, "fill", err, unix.ECANCELED)
}

func claimAfterTheReply(t *testing.T, s *server, _ *reader, req request) {
	s.answer(t, req)
	s.cannotClaim(t, s.device, req.unique, unix.ENOENT)
}

func abortDuringFill(t *testing.T, s *server, r *reader, req request) {
	s.claim(t, req)
	f := s.fillLater(t, req)
	s.abort(t)
	fails(t, "fill", f.ends(t), unix.ECANCELED)
	f.late(t)
	if res := r.wait(t, s); res.n >= 0 {
		t.Errorf("read after an abort: %d", res.n)
	} else {
		r.returned <- res
	}
}

func fillAfterAbort(t *testing.T, s *server, r *reader, req request) {
	part := req.size / 2
	n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], part, 0)
	moves(t, "claim", n, err, part)
	s.abort(t)
	s.cannotClaim(t, s.device, req.unique, unix.ENOENT)
	off := s.size / 2
	_, err = rsplice.Fill(s.pipe[0], s.sourceFD(), &off, part, 0)
	fails(t, "fill", err, unix.ECANCELED)
	res := r.wait(t, s)
	r.returned <- res
	_, err = rsplice.Direct(s.device, req.unique, s.sourceFD(), &off, part)
	fails(t, "claim and fill after the reader has gone on", err, unix.ENOENT)
}

// Upstream: a source that cannot read to the reader's memory leaves no other way
// to answer. Here it is an error, and the READ is answered with the data.
func unalignedSource(t *testing.T, s *server, _ *reader, req request) {
	disk := s.newLoop(t, unix.O_DIRECT)
	var off int64
	n, err := rsplice.Direct(s.device, req.unique, disk, &off, req.size)
	if s.openFlags&directIO != 0 {
		fails(t, "claim and fill of memory at an odd address", err, unix.EINVAL)
	} else {
		moves(t, "claim and fill", n, err, req.size)
	}
}

// The memory of a reader may be part of a huge page, from its beginning or not.
func TestHugePagesAreFilled(t *testing.T) {
	need(t)
	for name, at := range map[string]int{"whole": 1, "inside": 1 + 3*guest.PageSize()} {
		t.Run(name, func(t *testing.T) {
			s := mount(t, directIO)
			s.margin, s.huge = alignedMargin, at
			disk := s.newLoop(t, unix.O_DIRECT)
			for _, source := range []int{s.sourceFD(), disk} {
				r := s.read(t, 0, int(s.size))
				req := s.next(t)
				off := req.off
				n, err := rsplice.Direct(s.device, req.unique, source, &off, req.size)
				moves(t, "claim and fill", n, err, req.size)
				if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
					t.Errorf("reply: %v", err)
				}
				r.gets(t, s, int(s.size))
			}
		})
	}
}

// fillInPieces is answer with fills of odd sizes, which begin and end anywhere.
func (s *server) fillInPieces(t *testing.T, req request) {
	t.Helper()
	const piece = 4999
	s.claim(t, req)
	for done := 0; done < req.size; done += piece {
		s.fill(t, req.off+int64(done), min(piece, req.size-done))
	}
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
}

// Memory that lies in one piece may be filled in several.
func TestHugePagesAreFilledInPieces(t *testing.T) {
	need(t)
	s := mount(t, directIO)
	s.margin, s.huge = alignedMargin, 1+3*guest.PageSize()
	r := s.read(t, 0, int(s.size))
	s.fillInPieces(t, s.next(t))
	r.gets(t, s, int(s.size))
}

// A READ that is being filled is not sent again, it fails: its memory cannot be
// taken from one server and given to another.
func TestResendDuringAFillFailsTheRequest(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		f := s.fillLater(t, req)
		if err := s.resend(); err != nil {
			t.Fatalf("resend: %v", err)
		}
		fails(t, "fill", f.ends(t), unix.ECANCELED)
		f.late(t)
		s.cannotClaim(t, s.device, req.unique, unix.ENOENT)
		s.cannotClaim(t, s.device, req.unique|uniqueResend, unix.ENOENT)
		if s.openFlags&directIO != 0 {
			r.fails(t, s, unix.ECONNABORTED)
			return
		}
		r.gets(t, s, guest.PageSize()) // asks again
	})
}
