// Package notifystoreleak shows that FUSE_NOTIFY_STORE leaves memory that
// nobody has filled behind the end of a file, where mmap(2) shows it.
package notifystoreleak

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	files    = 64       // each has one page: some of them would do
	poisoned = 16 << 20 // bytes
)

// TestStoredPageIsZeroBeyondTheEnd stores files of one byte in the cache and
// maps them.
func TestStoredPageIsZeroBeyondTheEnd(t *testing.T) {
	guest.Need(t)
	contents := make([][]byte, files)
	for i := range contents {
		contents[i] = []byte{'d'}
	}
	s := rawfuse.Mount(t, rawfuse.Options{Files: contents, Handle: func(_ *rawfuse.Server, q *rawfuse.Request) bool {
		if q.Opcode == rawfuse.OpRead {
			t.Error("the server saw a READ: the page was not in the cache")
		}
		return false
	}})
	var fds [files]int
	for i := range fds {
		fds[i] = s.Open(i, unix.O_RDONLY)
	}
	guest.Poison(t, "uninitialised ", poisoned)
	for i := range fds {
		out := fuse.NotifyStoreOut{Nodeid: rawfuse.Node(i), Size: 1}
		if err := s.Notify(fuse.NOTIFY_STORE_CACHE, out, []byte{'d'}); err != nil {
			t.Fatalf("FUSE_NOTIFY_STORE: %v", err)
		}
	}
	for _, fd := range fds {
		page := s.Peek(s.Map(fd, guest.PageSize(), unix.PROT_READ))
		if page[0] != 'd' {
			t.Fatalf("byte 0 is %#02x, want what was stored", page[0])
		}
		guest.Zero(t, page[1:], 1)
		if t.Failed() {
			t.Logf("%q", page[:64])
			return
		}
	}
}
