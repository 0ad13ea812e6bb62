package rsplice

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// racePages is how long a READ is that ends while it is filled piece by piece.
const racePages = 30

// The memory of a reader is taken from its server before the reader goes on, not
// a moment later: several threads go on filling while the READ ends, in every way
// there is, and what they still put in place is there when read(2) returns, and
// nothing comes after that.
func TestNothingIsFilledAfterTheEnd(t *testing.T) {
	need(t)
	ends := map[string]func(t *testing.T, s *server, req request, r *reader){
		"error": func(t *testing.T, s *server, req request, _ *reader) {
			if err := s.reply(req.unique, unix.EIO, nil); err != nil {
				t.Errorf("error reply: %v", err)
			}
		},
		"data":  func(t *testing.T, s *server, req request, _ *reader) { s.replyWhenPossible(t, req) },
		"abort": func(t *testing.T, s *server, _ request, _ *reader) { s.abort(t) },
		"umount": func(_ *testing.T, s *server, _ request, _ *reader) {
			_ = unix.Unmount(s.dir, unix.MNT_FORCE)
		},
		"close": func(_ *testing.T, s *server, _ request, _ *reader) {
			unix.Close(s.device)
			s.device = -1
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for _, async := range []bool{false, true} {
				for range 4 {
					endWhileFilling(t, end, async)
				}
			}
		})
	}
}

// replyWhenPossible sends an ordinary reply, between two fills.
func (s *server) replyWhenPossible(t *testing.T, req request) {
	t.Helper()
	err := s.replyData(req, req.size)
	for ; errors.Is(err, unix.EBUSY); err = s.replyData(req, req.size) {
	}
	if err != nil {
		t.Errorf("reply: %v", err)
	}
}

// fillPieces fills what is in a pipe from off on until there is no more, or
// nobody wants it.
func (s *server) fillPieces(pipe int, off int64) {
	for {
		n, err := rsplice.Fill(pipe, s.sourceFD(), &off, 1+rand.IntN(64), rsplice.Nonblock)
		if err != nil && !errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			return
		}
	}
}

func endWhileFilling(t *testing.T, end func(t *testing.T, s *server, req request, r *reader), async bool) {
	s := mountSize(t, directIO, rsplice.InitFlag|initAsyncDIO, racePages)
	s.shareMemory, s.async = true, async
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	back := newPipe(t)
	half := req.size / 2
	for _, pipe := range []int{s.pipe[1], back[1]} {
		n, err := rsplice.Claim(s.device, req.unique, pipe, half, rsplice.Nonblock)
		moves(t, "claim", n, err, half)
	}
	var filling sync.WaitGroup
	filling.Go(func() { s.fillPieces(s.pipe[0], req.off) })
	filling.Go(func() { s.fillPieces(back[0], req.off+int64(half)) })
	returned := make(chan []byte, 1)
	go func() { // read(2) may return before what ends it does
		res := <-r.returned
		r.returned <- res
		returned <- bytes.Clone(r.shared)
	}()
	time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	end(t, s, req, r)
	var then []byte
	for then == nil {
		select {
		case then = <-returned:
		default:
			s.serve(t)
		}
	}
	filling.Wait()
	time.Sleep(20 * time.Millisecond)
	if !bytes.Equal(r.shared, then) {
		t.Error("memory was written to after read(2) had returned")
	}
	s.end()
	s.device, s.beforeUnmount, s.afterUnmount = -1, nil, nil // not again
}
