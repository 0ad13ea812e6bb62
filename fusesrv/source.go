package fusesrv

import (
	"io"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A source is where the bytes of an open file come from: data, or what stream
// returns, or the descriptor fd, whichever is set first.
//
// It is a fuse.ReadResult so that it travels from the file's node through
// go-fuse's Read to the worker, which never asks it for bytes.
type source struct {
	fd     int
	data   io.ReaderAt
	stream Stream
	// end is where the bytes end; noEnd leaves that to the descriptor.
	end int64
	// direct says that fd was opened with O_DIRECT.
	direct bool
}

// noEnd is the end of a source that ends where its file does.
const noEnd = -1

// A Stream yields a descriptor from which the next size bytes that are read
// are those from off on: the READ that it was called for takes all of them.
// Done is called when the READ is over. Several workers call it at once.
type Stream func(off int64, size int) (fd int, done func(), err error)

// Bytes implements fuse.ReadResult; a READ that ends up here was not
// answered by its path.
func (*source) Bytes([]byte) ([]byte, fuse.Status) { return nil, fuse.ENOSYS }

// Size implements fuse.ReadResult.
func (*source) Size() int { return 0 }

// Done implements fuse.ReadResult.
func (*source) Done() {}

// directUnit is what offsets, sizes and addresses of direct reads are
// multiples of, in bytes: no device asks for more.
const directUnit = 4096

// aligned tells whether all of r can be read directly.
func (r *read) aligned() bool {
	return r.off%directUnit == 0 && r.size%directUnit == 0
}

// begin makes s what r reads from; the caller calls the function returned
// when r is over.
func (s *source) begin(r *read) (done func(), err error) {
	r.fd, r.data, r.direct, r.stream = s.fd, s.data, s.direct, s.stream != nil
	if s.end != noEnd && !s.direct {
		r.size = int(min(int64(r.size), max(s.end-r.off, 0)))
	}
	if !r.stream || r.size == 0 {
		return func() {}, nil
	}
	r.fd, done, err = s.stream(r.off, r.size)
	return done, err
}

// position returns what system calls call the position to read r from: nil
// where the descriptor has none.
func (r *read) position() *int64 {
	if r.stream {
		return nil
	}
	r.at = r.off
	return &r.at
}

// readAt fills p with the bytes of r and returns fewer only at the end of the
// file. P is as long as r is, but for direct reads: see copier.
func (r *read) readAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := r.readOnce(p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		done += n
		if err == io.EOF || err == nil && n == 0 {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return done, nil
}

// readOnce is one attempt to read.
func (r *read) readOnce(p []byte, off int64) (int, error) {
	if r.data != nil {
		return r.data.ReadAt(p, off)
	}
	r.count.calls.Add(1)
	if r.stream {
		return unix.Read(r.fd, p)
	}
	return unix.Pread(r.fd, p, off)
}
