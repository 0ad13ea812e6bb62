// Package staledirectwrite shows that a write past the page cache leaves the
// old bytes in it.
package staledirectwrite

import (
	"bytes"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestCachedReadSeesDirectWrite has one file open twice: to read, through the
// page cache, and to write, with FOPEN_DIRECT_IO. Both are open before the
// first read: to open a file drops its cache.
func TestCachedReadSeesDirectWrite(t *testing.T) {
	guest.Need(t)
	direct := 0
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{bytes.Repeat([]byte("old "), 1024)},
		Handle: func(s *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode != rawfuse.OpOpen || rawfuse.In[fuse.OpenIn](q).Flags&unix.O_ACCMODE != unix.O_WRONLY {
				return false
			}
			direct++
			return s.ReplyStruct(q, fuse.OpenOut{OpenFlags: fuse.FOPEN_DIRECT_IO}) == nil
		},
	})
	r, w := s.Open(0, unix.O_RDONLY), s.Open(0, unix.O_WRONLY)
	if direct != 1 {
		t.Fatalf("%d files were opened with FOPEN_DIRECT_IO, want 1", direct)
	}
	read(t, r, "old ")
	if n, err := unix.Pwrite(w, []byte("new "), 0); n != 4 {
		t.Fatalf("direct write: %d, %v", n, err)
	}
	if got := s.Contents(rawfuse.Node(0), 0, 4); string(got) != "new " {
		t.Fatalf("the server has %q after the write", got)
	}
	read(t, r, "new ")
}

func read(t *testing.T, fd int, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := unix.Pread(fd, b, 0); n != len(b) {
		t.Fatalf("read: %d, %v", n, err)
	}
	if string(b) != want {
		t.Errorf("cached read: %q, want %q", b, want)
	}
}
