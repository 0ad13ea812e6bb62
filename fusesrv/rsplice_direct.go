package fusesrv

import "github.com/runvm/runvm/fusesrv/rsplice"

// rspliceDirectPath is rsplice-pipe without the pipe: one call claims empty
// buffers and fills them.
func rspliceDirectPath() Path {
	return Path{Name: "rsplice-direct", Needs: Descriptors, initFlags: rsplice.InitFlag, open: openDirectFiller}
}

// A directFiller needs nothing between two READs.
type directFiller struct{}

func openDirectFiller(conn, int) (answerer, error) {
	return directFiller{}, needRsplice()
}

func (directFiller) close() {}

func (directFiller) answer(r *read) error {
	if r.direct && !r.aligned() {
		return errUnfit
	}
	off, done := r.position(), 0
	for done < r.size {
		r.count.calls.Add(1)
		n, err := rsplice.Direct(r.dev, r.unique, r.fd, off, r.size-done)
		if err != nil {
			return r.filled(done, err)
		}
		if n == 0 {
			break
		}
		done += n
	}
	return r.filled(done, nil)
}
