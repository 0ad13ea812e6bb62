package fusesrv

import "github.com/runvm/runvm/fusesrv/rsplice"

// rspliceFillPath has the kernel fill the reader's memory from the file in one
// call, and replies by a header: for servers that decide something in between.
func rspliceFillPath() Path {
	return Path{Name: "rsplice-fill", Needs: Descriptors, initFlags: rsplice.InitFlag, open: openFiller}
}

// A filler has nothing of its own.
type filler struct{}

func openFiller(conn, int) (answerer, error) { return filler{}, needRsplice() }

func (filler) close() {}

func (filler) answer(r *read) error {
	if r.direct && !r.aligned() {
		return errUnfit
	}
	off := r.position()
	for done := 0; ; {
		if done == r.size {
			return r.filled(done, nil)
		}
		r.count.calls.Add(1)
		n, err := rsplice.Direct(r.dev, r.unique, r.fd, off, r.size-done)
		if err != nil || n == 0 {
			return r.filled(done, err)
		}
		done += n
	}
}
