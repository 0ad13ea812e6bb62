package fusesrv

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// splicePath brings pages of the file's cache into a pipe by reference and
// lets the device copy from them: one copy, none of it in the server.
func splicePath() Path {
	return Path{Name: "splice", NeedsFile: true, open: openSplicer(0)}
}

// A splicer is one worker's pipes for splice and splice-move.
type splicer struct {
	flags   int
	maxRead int
	// reply carries a reply, header first, to the device. spare is for a
	// reply that turned out shorter than its header said.
	reply, spare pipe
}

// A pipe is the two ends of one, reading end first.
type pipe [2]int

// openSplicer returns what opens a splicer; flags go into the splice(2) that
// answers.
func openSplicer(flags int) func(maxRead int) (answerer, error) {
	return func(maxRead int) (answerer, error) {
		s := &splicer{flags: flags, maxRead: maxRead}
		if err := s.openPipes(); err != nil {
			return nil, err
		}
		return s, nil
	}
}

// openPipes makes pipes with room for a header and for the pages of the
// largest read: each buffer holds a page or a part of one, and a read that
// starts inside a page touches one more.
func (s *splicer) openPipes() error {
	s.reply, s.spare = pipe{-1, -1}, pipe{-1, -1}
	for _, p := range []*pipe{&s.reply, &s.spare} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			s.close()
			return fmt.Errorf("pipe: %w", err)
		}
		room := s.maxRead + 2*os.Getpagesize()
		if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, room); err != nil {
			s.close()
			return fmt.Errorf("pipe of %d bytes (see pipe-user-pages-soft and pipe-max-size in proc(5)): %w", room, err)
		}
	}
	return nil
}

func (s *splicer) close() {
	for _, p := range []pipe{s.reply, s.spare} {
		for _, fd := range p {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
}

// answer writes a header that promises all of r, then the pages behind it,
// and makes a new reply in the rare case that the file had fewer bytes.
func (s *splicer) answer(r *read) error {
	if err := putHeader(s.reply, r.unique, r.size); err != nil {
		return s.giveUp(r, err)
	}
	n, err := s.fill(r)
	if err != nil {
		return s.giveUp(r, err)
	}
	from := s.reply
	if n < r.size {
		if from, err = s.shorten(r, n); err != nil {
			return s.giveUp(r, err)
		}
	}
	r.count.spliced.Add(uint64(n))
	sent := false
	err = r.delivered(n, func() error {
		err := spliceAll(from[0], nil, r.dev, replyHeaderSize+n, s.flags)
		sent = err == nil
		return err
	})
	if !sent {
		s.reopen() // what the device did not take is still in the pipe
	}
	return err
}

// fill moves the bytes of r that its file has into the reply's pipe.
func (s *splicer) fill(r *read) (int, error) {
	off, done := r.off, 0
	for done < r.size {
		n, err := splice(r.from.fd, &off, s.reply[1], r.size-done, 0)
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

// shorten makes a reply of n bytes, the first in the pipe behind a header
// that promised more, and returns the pipe it is in.
func (s *splicer) shorten(r *read, n int) (pipe, error) {
	var promised [replyHeaderSize]byte
	if _, err := unix.Read(s.reply[0], promised[:]); err != nil {
		return pipe{}, fmt.Errorf("take back a header: %w", err)
	}
	if err := putHeader(s.spare, r.unique, n); err != nil {
		return pipe{}, err
	}
	return s.spare, spliceAll(s.reply[0], nil, s.spare[1], n, 0)
}

// giveUp answers r with the error number in err and empties the pipes.
func (s *splicer) giveUp(r *read, err error) error {
	s.reopen()
	return r.fail(errnoOf(err))
}

// reopen replaces the pipes by empty ones. Without pipes each answer fails
// with EBADF, which the reader sees.
func (s *splicer) reopen() {
	s.close()
	_ = s.openPipes()
}

// putHeader writes the header of a reply with n bytes into p.
func putHeader(p pipe, unique uint64, n int) error {
	var header [replyHeaderSize]byte
	putReplyHeader(header[:], unique, 0, n)
	_, err := unix.Write(p[1], header[:])
	return err
}

// spliceAll is splice for bytes that are all there; it is an error if fewer
// than size were moved.
func spliceAll(from int, off *int64, to, size, flags int) error {
	for size > 0 {
		n, err := splice(from, off, to, size, flags)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("splice: %d bytes are missing", size)
		}
		size -= n
	}
	return nil
}

// splice is splice(2), repeated when a signal came in between.
func splice(from int, off *int64, to, size, flags int) (int, error) {
	for {
		n, err := unix.Splice(from, off, to, nil, size, flags)
		if err != unix.EINTR {
			return int(n), err
		}
	}
}
