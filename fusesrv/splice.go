package fusesrv

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// splicePath brings pages of the file's cache into a pipe by reference and
// lets the device copy from them: one copy, none of it in the server.
func splicePath() Path {
	return Path{Name: "splice", Needs: Descriptors, open: openSplicer(0)}
}

// A splicer is one worker's pipes for splice and splice-move.
type splicer struct {
	flags   int
	maxRead int
	// out carries a reply, header first, to the device. spare is for a
	// reply that turned out shorter than its header said.
	out, spare pipe
	// The reply to the READ at hand is in from, with n bytes of data, until it
	// is sent.
	from pipe
	n    int
	sent bool
}

// A pipe is the two ends of one, reading end first.
type pipe [2]int

// openSplicer returns what opens a splicer; flags go into the splice(2) that
// answers.
func openSplicer(flags int) func(conn, int) (answerer, error) {
	return func(_ conn, maxRead int) (answerer, error) {
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
	s.out, s.spare = pipe{-1, -1}, pipe{-1, -1}
	for _, p := range []*pipe{&s.out, &s.spare} {
		var err error
		if *p, err = openPipe(s.maxRead + 2*os.Getpagesize()); err != nil {
			s.close()
			return err
		}
	}
	return nil
}

// openPipe makes a pipe with room for so many bytes in whole pages.
func openPipe(room int) (pipe, error) {
	p := pipe{-1, -1}
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return p, fmt.Errorf("pipe: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, room); err != nil {
		p.close()
		return pipe{-1, -1}, fmt.Errorf("pipe of %d bytes (see pipe-user-pages-soft and pipe-max-size in proc(5)): %w", room, err)
	}
	return p, nil
}

func (p pipe) close() {
	for _, fd := range p {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (s *splicer) close() {
	s.out.close()
	s.spare.close()
}

// answer writes a header that promises all of r, then the pages behind it,
// and makes a new reply in the rare case that the file had fewer bytes.
func (s *splicer) answer(r *read) error {
	if r.direct && !r.aligned() {
		return errUnfit
	}
	if err := putHeader(r, s.out, r.unique, r.size); err != nil {
		return s.giveUp(r, err)
	}
	n, err := fill(r, s.out, r.size)
	if err != nil {
		return s.giveUp(r, err)
	}
	from := s.out
	if n < r.size {
		if from, err = s.shorten(r, n); err != nil {
			return s.giveUp(r, err)
		}
	}
	r.count.spliced.Add(uint64(n))
	r.step(StepFilled)
	s.from, s.n, s.sent = from, n, false
	return r.reply(n, s)
}

// reply sends what is in the pipe, if that is what is to be sent.
func (s *splicer) reply(r *read, unique uint64, size int) error {
	if s.sent || unique != r.unique || size != s.n {
		return s.again(r, unique, size)
	}
	s.sent = true
	err := spliceAll(r, s.from[0], r.dev, replyHeaderSize+size, s.flags)
	if err != nil {
		s.reopen() // what the device did not take is still in the pipe
	}
	return err
}

// again makes and sends another reply to r, to unique and of size bytes; what
// the file does not have of them is missing.
func (s *splicer) again(r *read, unique uint64, size int) error {
	other := &splicer{flags: s.flags, maxRead: s.maxRead}
	if err := other.openPipes(); err != nil {
		return err
	}
	defer other.close()
	if err := putHeader(r, other.out, unique, size); err != nil {
		return err
	}
	n, err := fill(r, other.out, size)
	if err != nil {
		return err
	}
	return spliceAll(r, other.out[0], r.dev, replyHeaderSize+n, s.flags)
}

// fill moves at most size bytes of r's source into a pipe.
func fill(r *read, to pipe, size int) (int, error) {
	off, done := r.position(), 0
	for done < size {
		n, err := fillOnce(r, off, to, size-done)
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

// fillOnce does not wait for a stream with its pipe full, as a stream in small
// pieces may make it: nobody would ever empty it.
func fillOnce(r *read, off *int64, to pipe, size int) (int, error) {
	if !r.stream {
		return splice(r, r.fd, off, to[1], size, 0)
	}
	n, err := splice(r, r.fd, nil, to[1], size, unix.SPLICE_F_NONBLOCK)
	if err != unix.EAGAIN {
		return n, err
	}
	ready := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
	for err = unix.EINTR; err == unix.EINTR; {
		r.count.calls.Add(1)
		_, err = unix.Poll(ready, -1)
	}
	n, err = splice(r, r.fd, nil, to[1], size, unix.SPLICE_F_NONBLOCK)
	if err == unix.EAGAIN {
		return 0, unix.ENOBUFS
	}
	return n, err
}

// shorten makes a reply of n bytes, the first in the pipe behind a header
// that promised more, and returns the pipe it is in.
func (s *splicer) shorten(r *read, n int) (pipe, error) {
	var promised [replyHeaderSize]byte
	r.count.calls.Add(1)
	if _, err := unix.Read(s.out[0], promised[:]); err != nil {
		return pipe{}, fmt.Errorf("take back a header: %w", err)
	}
	if err := putHeader(r, s.spare, r.unique, n); err != nil {
		return pipe{}, err
	}
	return s.spare, spliceAll(r, s.out[0], s.spare[1], n, 0)
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

// putHeader writes the header of a reply to unique with n bytes into p.
func putHeader(r *read, p pipe, unique uint64, n int) error {
	var header [replyHeaderSize]byte
	putReplyHeader(header[:], unique, 0, n)
	r.count.calls.Add(1)
	_, err := unix.Write(p[1], header[:])
	return err
}

// spliceAll is splice for bytes that are all there; it is an error if fewer
// than size were moved.
func spliceAll(r *read, from, to, size, flags int) error {
	for size > 0 {
		n, err := splice(r, from, nil, to, size, flags)
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
func splice(r *read, from int, off *int64, to, size, flags int) (int, error) {
	for {
		r.count.calls.Add(1)
		n, err := unix.Splice(from, off, to, nil, size, flags)
		if err != unix.EINTR {
			return int(n), err
		}
	}
}
