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

// A completer needs nothing between two READs.
type completer struct{}

func openCompleter(conn, int) (answerer, error) {
	if err := needRsplice(); err != nil {
		return nil, err
	}
	if !rsplice.CanComplete() {
		return nil, fmt.Errorf("rsplice(2) with RSPLICE_F_COMPLETE: %w", unix.EINVAL)
	}
	return completer{}, nil
}

func (completer) close() {}

// answer counts all of r as filled before the call, after which the reader may
// look, and takes back what turns out to be missing.
func (completer) answer(r *read) error {
	if r.size == 0 {
		return r.filled(0, nil)
	}
	if r.direct && !r.aligned() {
		return errUnfit
	}
	var done int
	var failed error
	off := r.position()
	r.count.filled.Add(uint64(r.size))
	err := r.reply(r.size, func(unique uint64, n int) error {
		done, failed = r.complete(unique, off, n)
		return failed
	})
	if errors.Is(failed, unix.ENOENT) {
		return nil // ended by others, or by a reply that a hook sent
	}
	missing := uint64(r.size - done)
	r.count.filled.Add(-missing)
	r.count.readBytes.Add(-missing)
	if failed != nil {
		return r.unfilled(done, failed)
	}
	return err
}

// complete is the call. One that ended early has changed nothing that the same
// call does not go on from.
func (r *read) complete(unique uint64, off *int64, n int) (int, error) {
	for {
		r.count.calls.Add(1)
		done, err := rsplice.Complete(r.dev, unique, r.fd, off, n)
		if err != unix.EINTR {
			return done, err
		}
	}
}
