package fusesrv

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// rsplicePipePath has the kernel read into the reader's memory: empty buffers
// of the READ go into a pipe, are filled from the file, and the reply is a
// header alone.
func rsplicePipePath() Path {
	return Path{Name: "rsplice-pipe", Needs: Descriptors, initFlags: rsplice.InitFlag, open: openPipeFiller}
}

// A pipeFiller is one worker's pipe for empty buffers. What is left of a READ
// in it goes stale with the reply; the next fill drops it.
type pipeFiller struct {
	empty pipe
}

func openPipeFiller(conn, int) (answerer, error) {
	if err := needRsplice(); err != nil {
		return nil, err
	}
	f := &pipeFiller{}
	if err := unix.Pipe2(f.empty[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return f, nil
}

// needRsplice fails on kernels without rsplice(2).
func needRsplice() error {
	if !rsplice.Supported() {
		return fmt.Errorf("rsplice(2): %w", unix.ENOSYS)
	}
	return nil
}

func (f *pipeFiller) close() {
	unix.Close(f.empty[0])
	unix.Close(f.empty[1])
}

func (f *pipeFiller) answer(r *read) error {
	if r.direct && !r.aligned() {
		return errUnfit
	}
	done, err := f.fill(r)
	return r.filled(done, err)
}

// fill claims all of r, then fills it as far as the source goes.
func (f *pipeFiller) fill(r *read) (int, error) {
	claimed, done := 0, 0
	for claimed < r.size {
		r.count.calls.Add(1)
		n, err := rsplice.Claim(r.dev, r.unique, f.empty[1], r.size-claimed, rsplice.Nonblock)
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		claimed += n
	}
	r.step(StepClaimed)
	off := r.position()
	for done < claimed {
		r.count.calls.Add(1)
		n, err := rsplice.Fill(f.empty[0], r.fd, off, claimed-done, rsplice.Nonblock)
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

// filled answers r, whose first n bytes are in place; err is why there are no
// more, nil at the end of the file.
func (r *read) filled(n int, err error) error {
	if err != nil {
		return r.unfilled(n, err)
	}
	r.count.filled.Add(uint64(n))
	r.step(StepFilled)
	return r.reply(n, headers{})
}

// Headers reply with a header alone.
type headers struct{}

func (headers) reply(r *read, unique uint64, n int) error {
	r.count.calls.Add(1)
	if n == 0 {
		return replyError(r.conn, unique, 0)
	}
	return rsplice.Reply(r.dev, unique, n)
}

// unfilled answers r, which only has its first n bytes in place because of err.
func (r *read) unfilled(n int, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL) && r.direct && n == 0:
		return errUnfit // for the kernel; or in user memory that is not aligned
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECANCELED), errors.Is(err, unix.EPERM):
		return nil // the READ has ended
	}
	return r.fail(errnoOf(err))
}
