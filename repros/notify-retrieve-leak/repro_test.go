// Package notifyretrieveleak shows that FUSE_NOTIFY_RETRIEVE hands a server
// pages that nobody has filled.
package notifyretrieveleak

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

const poisoned = 16 << 20 // bytes

// TestRetrieveKeepsToFilledPages has a server ask for a page that it was asked
// to fill and has not filled yet.
func TestRetrieveKeepsToFilledPages(t *testing.T) {
	guest.Need(t)
	size := guest.PageSize()
	reads, retrieved := make(chan *rawfuse.Request, 1), make(chan *rawfuse.Request, 1)
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{bytes.Repeat([]byte{'d'}, size)},
		Handle: func(_ *rawfuse.Server, q *rawfuse.Request) bool {
			switch q.Opcode {
			case rawfuse.OpRead:
				reads <- q
			case rawfuse.OpNotifyReply:
				retrieved <- q
			default:
				return false
			}
			return true
		},
	})
	fd := s.Open(0, unix.O_RDONLY)
	got := make(chan []byte, 1)
	guest.Poison(t, "uninitialised ", poisoned)
	go func() {
		b := make([]byte, size)
		n, _ := unix.Pread(fd, b, 0)
		got <- b[:max(n, 0)]
	}()
	read := rawfuse.Next(t, "READ", reads)
	out := fuse.NotifyRetrieveOut{NotifyUnique: 1, Nodeid: rawfuse.Node(0), Size: uint32(size)}
	if err := s.Notify(fuse.NOTIFY_RETRIEVE_CACHE, out, nil); err != nil {
		t.Fatalf("FUSE_NOTIFY_RETRIEVE: %v", err)
	}
	data := rawfuse.Next(t, "answer to FUSE_NOTIFY_RETRIEVE", retrieved).Message[unsafe.Sizeof(fuse.NotifyRetrieveIn{}):]
	if len(data) > 0 {
		t.Errorf("the server got %d bytes of a page that nobody has filled: %q…", len(data), data[:32])
	}
	s.Answer(read)
	if b := rawfuse.Next(t, "end of read(2)", got); !bytes.Equal(b, bytes.Repeat([]byte{'d'}, size)) {
		t.Errorf("read: %d bytes, not those of the file", len(b))
	}
}
