// Package abortpagemove shows that a page is moved into the page cache for a
// request that an abort has ended already.
package abortpagemove

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestAbortEndsPageMove answers a READ with a page under writeback, which the
// kernel waits for before it takes the page; the writeback is held up. Then the
// connection is aborted, the page that was to be replaced leaves the cache, and
// the writeback ends.
func TestAbortEndsPageMove(t *testing.T) {
	guest.Need(t)
	disk := newDisk(t)
	reads := make(chan *rawfuse.Request, 1)
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{make([]byte, guest.PageSize())}, Init: fuse.CAP_ASYNC_READ,
		Handle: func(_ *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode == rawfuse.OpRead {
				reads <- q
			}
			return q.Opcode == rawfuse.OpRead
		},
	})
	failed := make(chan error, 1)
	fd := s.Open(0, unix.O_RDONLY)
	go func() {
		_, err := unix.Pread(fd, make([]byte, guest.PageSize()), 0)
		failed <- err
	}()
	read := rawfuse.Next(t, "READ", reads)
	p := s.NewPipe()
	if err := rawfuse.FillPipe(p, read.Unique, disk.device, 0, guest.PageSize()); err != nil {
		t.Fatal(err)
	}
	disk.holdWriteback(t)
	thread, moved := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		moved <- s.SendPipe(p, guest.PageSize())
	}()
	waitsForPage(t, <-thread)

	s.Abort()
	if err := rawfuse.Next(t, "end of read(2)", failed); err == nil {
		t.Error("read(2) on an aborted connection says that all is well")
	}
	if err := s.Notify(fuse.NOTIFY_INVAL_INODE, fuse.NotifyInvalInodeOut{Ino: rawfuse.Node(0)}, nil); err != nil {
		t.Fatalf("drop the file's pages: %v", err)
	}
	disk.letGo()
	if err := rawfuse.Next(t, "end of splice(2)", moved); err != unix.ENOENT {
		t.Errorf("answer to a READ that was aborted: %v, want %v", err, unix.ENOENT)
	}
}

// A disk is a block device on a FUSE file whose WRITEs can be held up.
type disk struct {
	s      *rawfuse.Server
	device int
	writes chan *rawfuse.Request
	hold   chan bool // closed to let WRITEs be answered
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{writes: make(chan *rawfuse.Request, 64), hold: make(chan bool)}
	d.s = rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{make([]byte, 1<<20)},
		Handle: func(_ *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode == rawfuse.OpWrite {
				d.writes <- q
				<-d.hold
			}
			return false
		},
	})
	name := guest.LoopDevice(t, d.s.Path(0))
	var err error
	if d.device, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(d.device) })
	t.Cleanup(d.letGo) // before the device is closed, which writes back
	if n, err := unix.Pwrite(d.device, bytes.Repeat([]byte{'b'}, guest.PageSize()), 0); n != guest.PageSize() {
		t.Fatalf("write to %s: %d, %v", name, n, err)
	}
	return d
}

// holdWriteback begins to write the device's page back, which does not end.
func (d *disk) holdWriteback(t *testing.T) {
	t.Helper()
	if err := unix.SyncFileRange(d.device, 0, int64(guest.PageSize()), unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Fatalf("begin writeback: %v", err)
	}
	rawfuse.Next(t, "WRITE", d.writes)
}

// letGo lets writeback end.
func (d *disk) letGo() {
	select {
	case <-d.hold:
	default:
		close(d.hold)
	}
}

// waitsForPage waits until a thread waits for the page of its answer.
func waitsForPage(t *testing.T, tid int) {
	t.Helper()
	where := ""
	for end := time.Now().Add(rawfuse.Patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", tid))
		if where = string(b); err == nil && strings.HasPrefix(where, "folio_wait") {
			return
		}
	}
	t.Fatalf("the answer does not wait for its page but in %q", where)
}
