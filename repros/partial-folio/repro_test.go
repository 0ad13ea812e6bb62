// Package partialfolio shows that the answer to a READ of a part of a folio
// zeroes all of the folio, dirty blocks included.
package partialfolio

import (
	"bytes"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"os"
	"path/filepath"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestReadKeepsDirtyBlocks writes a block of a file on a fuseblk mount with
// blocks below the page size and the write-back cache, and reads another block
// of the same page: the kernel READs what it lacks of the page.
func TestReadKeepsDirtyBlocks(t *testing.T) {
	guest.Need(t)
	const block = 512
	page := guest.PageSize()
	written, read := int64(2*page), int64(2*page+2*block)
	parts := 0
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{bytes.Repeat([]byte{'d'}, 4*page)}, Init: fuse.CAP_WRITEBACK_CACHE,
		BlockDevice: guest.LoopDevice(t, image(t)), BlockSize: block,
		Handle: func(_ *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode == rawfuse.OpRead && rawfuse.In[fuse.ReadIn](q).Offset%uint64(page) != 0 {
				parts++
			}
			return false
		},
	})
	fd := s.Open(0, unix.O_RDWR)
	if n, err := unix.Pwrite(fd, bytes.Repeat([]byte{'W'}, block), written); n != block {
		t.Fatalf("write: %d, %v", n, err)
	}
	if got := s.Contents(rawfuse.Node(0), written, 1); got[0] != 'd' {
		t.Fatal("the block has been written back already: nothing is tested")
	}
	check(t, fd, read, 'd', block)
	if parts == 0 {
		t.Fatal("the server saw no READ of a part of the page: nothing is tested")
	}
	check(t, fd, written, 'W', block)
	if err := unix.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	if got := s.Contents(rawfuse.Node(0), written, block); !bytes.Equal(got, bytes.Repeat([]byte{'W'}, block)) {
		t.Errorf("the server was given %q… for what was written", got[:8])
	}
}

// check reads a block that has one byte only.
func check(t *testing.T, fd int, off int64, want byte, size int) {
	t.Helper()
	b := make([]byte, size)
	if n, err := unix.Pread(fd, b, off); n != size {
		t.Fatalf("read at %d: %d, %v", off, n, err)
	}
	if n := bytes.Count(b, []byte{want}); n != size {
		t.Errorf("block at %d: %d bytes of %d are %q, the first is %#02x", off, n, size, want, b[0])
	}
}

// image is a file for a block device that nobody reads.
func image(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
