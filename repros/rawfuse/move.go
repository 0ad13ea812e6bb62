package rawfuse

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewPipe makes a pipe with room for MaxWrite bytes and a header; it is closed
// with the test.
func (s *Server) NewPipe() [2]int {
	s.t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		s.t.Fatalf("pipe: %v", err)
	}
	s.t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, MaxWrite+2*os.Getpagesize()); err != nil {
		s.t.Fatalf("size of a pipe: %v", err)
	}
	return p
}

// FillPipe puts an answer to a request into a pipe: its header, and size bytes
// of the open file from off on as the pages of that file.
func FillPipe(p [2]int, unique uint64, file int, off int64, size int) error {
	if _, err := unix.Write(p[1], OutHeader(unique, 0, size)); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for size > 0 {
		n, err := unix.Splice(file, &off, p[1], nil, size, 0)
		if err != nil || n == 0 {
			return fmt.Errorf("splice from the file: %d bytes, %w", n, err)
		}
		size -= int(n)
	}
	return nil
}

// SendPipe sends the answer in a pipe, with size bytes behind its header, and
// lets the kernel take the pages out of their file (SPLICE_F_MOVE).
func (s *Server) SendPipe(p [2]int, size int) error {
	n, err := unix.Splice(p[0], nil, s.dev, nil, outHeader+size, unix.SPLICE_F_MOVE)
	if err == nil && int(n) != outHeader+size {
		err = fmt.Errorf("splice to the device: %d bytes of %d", n, outHeader+size)
	}
	return err
}
