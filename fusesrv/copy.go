package fusesrv

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// copyPath is what every FUSE server can do: bring the bytes into memory of
// the server with pread, hand them to the device with writev. Each byte is
// copied twice.
func copyPath() Path {
	return Path{Name: "copy", open: openCopy}
}

// A copier is one worker's memory for the copy path.
type copier struct {
	header [replyHeaderSize]byte
	data   []byte
}

func openCopy(maxRead int) (answerer, error) {
	return &copier{data: make([]byte, maxRead)}, nil
}

func (c *copier) answer(r *read) error {
	n, err := r.from.readAt(c.data[:r.size], r.off)
	if err != nil {
		return r.fail(errnoOf(err))
	}
	r.count.copied.Add(uint64(n))
	putReplyHeader(c.header[:], r.unique, 0, n)
	return r.delivered(n, func() error {
		_, err := unix.Writev(r.dev, [][]byte{c.header[:], c.data[:n]})
		return err
	})
}

func (c *copier) close() {}

// readAt fills p from off and returns fewer bytes only at the end of file.
func (s *source) readAt(p []byte, off int64) (int, error) {
	if s.data != nil {
		n, err := s.data.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pread(s.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

// errnoOf returns the error number in err, EIO when there is none.
func errnoOf(err error) syscall.Errno {
	var no syscall.Errno
	if errors.As(err, &no) && no != 0 {
		return no
	}
	return syscall.EIO
}
