package fusesrv

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/uring"
)

// ioUringZeroCopyPath has the kernel put a READ's pages into the ring's table
// of registered buffers, and reads the file into that slot: one call fills,
// answers and fetches the next request.
//
// The kernel trusts the server with those pages: it does not look whether they
// were filled, and lets them be filled after the answer. Hence CAP_SYS_ADMIN.
func ioUringZeroCopyPath() Path {
	return Path{
		Name: "io_uring-zc", Needs: Descriptors, ring: &ringKind{zeroCopy: true},
		initFlags: overRing | hasPools, openFlags: openZeroCopy,
		// Files of tmpfs do not say that they can be read without waiting
		// (FMODE_NOWAIT), so io_uring would have another thread do it, unless
		// they are opened so.
		fileFlags: unix.O_NONBLOCK,
		open:      openFixedFiller,
	}
}

// A fixedFiller is one worker's way to fill a slot.
type fixedFiller struct {
	conn   *ringConn
	header [replyHeaderSize]byte
}

func openFixedFiller(c conn, _ int) (answerer, error) {
	return &fixedFiller{conn: c.(*ringConn)}, nil
}

func (f *fixedFiller) close() {}

func (f *fixedFiller) answer(r *read) error {
	if !f.conn.zeroCopy || r.direct && !r.aligned() {
		return errUnfit
	}
	if !r.stream && r.size > 0 {
		return f.linked(r)
	}
	n, err := f.fill(r)
	if err != nil {
		return f.failed(r, err)
	}
	r.count.filled.Add(uint64(n))
	r.step(StepFilled)
	return r.reply(n, f)
}

// reply fills r if that is not done by the call that replies.
func (f *fixedFiller) reply(r *read, unique uint64, n int) error {
	if unique == f.conn.now && !r.stream {
		if _, err := f.fill(r); err != nil {
			return err
		}
	}
	return f.commit(unique, n)
}

// commit prepares an answer of n bytes to unique.
func (f *fixedFiller) commit(unique uint64, n int) error {
	putReplyHeader(f.header[:], unique, 0, n)
	f.conn.commit(f.header[:], n)
	return nil
}

// fill fills r as far as its source goes.
func (f *fixedFiller) fill(r *read) (int, error) {
	done := 0
	for done < r.size {
		off := uint64(r.off + int64(done))
		if r.stream {
			off = 1<<64 - 1 // wherever it is
		}
		r.count.calls.Add(1)
		n, err := f.conn.move(uring.OpReadFixed, r.fd, off, done, r.size-done)
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

// linked fills and answers r in one call, and in another one if the source had
// fewer bytes. What it delivers is counted before that is known.
func (f *fixedFiller) linked(r *read) error {
	r.count.filled.Add(uint64(r.size))
	r.announce(r.size, f)
	if f.conn.now != r.unique { // a hook has answered it; the kernel will say so
		return f.commit(r.unique, r.size)
	}
	putReplyHeader(f.header[:], r.unique, 0, r.size)
	n, err := f.conn.fillAndCommit(r.fd, r.off, r.size, f.header[:])
	missing := uint64(r.size - n)
	r.count.filled.Add(-missing)
	r.count.readBytes.Add(-missing)
	if err != nil {
		return f.failed(r, err)
	}
	if missing > 0 {
		return f.commit(r.unique, n)
	}
	return nil
}

// fillAndCommit fills all of the request from fd and answers it, in one call.
// It returns when the kernel has taken the answer, which shows by the next
// request or the end of the connection; or when fewer than size bytes came,
// and the request is as it was before.
func (c *ringConn) fillAndCommit(fd int, off int64, size int, header []byte) (int, error) {
	now, before := c.now, c.moves
	c.prepareMove(uring.OpReadFixed, fd, uint64(off), 0, size).Flags = uring.Link | uring.SkipSuccess
	c.commit(header, size).UserData = tagLinked
	for !c.fetched && c.waiting > 0 && c.moves == before {
		if err := c.enter(1); err != nil {
			return 0, err
		}
	}
	if c.moves == before {
		return size, nil
	}
	c.waiting--
	c.now = now
	c.count.calls.Add(1)
	return c.result()
}

// failed answers r, which could not be filled, with an error number. A direct
// read may want other memory than its reader has.
func (f *fixedFiller) failed(r *read, err error) error {
	if r.direct && errors.Is(err, unix.EINVAL) {
		return errUnfit
	}
	return r.fail(errnoOf(err))
}
