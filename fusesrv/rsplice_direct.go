package fusesrv

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// rspliceDirectPath has the kernel fill the reader's memory from the file and
// reply, in one call.
func rspliceDirectPath() Path {
	return Path{Name: "rsplice-direct", Needs: Descriptors, initFlags: rsplice.InitFlag, open: openCompleter}
}

// A completer is how far one worker's call has come.
type completer struct {
	off    *int64
	done   int
	failed error
}

func openCompleter(conn, int) (answerer, error) {
	if err := needRsplice(); err != nil {
		return nil, err
	}
	if !rsplice.CanComplete() {
		return nil, fmt.Errorf("rsplice(2) with RSPLICE_F_COMPLETE: %w", unix.EINVAL)
	}
	return &completer{}, nil
}

func (c *completer) close() {}

// answer counts all of r as filled before the call, after which the reader may
// look, and takes back what turns out to be missing.
func (c *completer) answer(r *read) error {
	if r.size == 0 {
		return r.filled(0, nil)
	}
	if r.direct && !r.aligned() {
		return errUnfit
	}
	c.off = r.position()
	r.count.filled.Add(uint64(r.size))
	err := r.reply(r.size, c)
	if errors.Is(c.failed, unix.ENOENT) {
		return nil // ended by others, or by a reply that a hook sent
	}
	missing := uint64(r.size - c.done)
	r.count.filled.Add(-missing)
	r.count.readBytes.Add(-missing)
	if c.failed != nil {
		return r.unfilled(c.done, c.failed)
	}
	return err
}

// reply is the call. One that ended early has changed nothing that the same call
// does not go on from.
func (c *completer) reply(r *read, unique uint64, n int) error {
	for {
		r.count.calls.Add(1)
		c.done, c.failed = rsplice.Complete(r.dev, unique, r.fd, c.off, n)
		if c.failed != unix.EINTR {
			return c.failed
		}
	}
}
