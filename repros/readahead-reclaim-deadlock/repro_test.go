// Package readaheadreclaimdeadlock shows that a server which has the kernel
// reclaim inodes while it answers a READ waits for itself.
package readaheadreclaimdeadlock

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestServerMayReclaimWhileItAnswers reads ahead in a file of a server that
// has no OPEN, and closes it. The server, asked to READ, has the kernel drop
// unused dentries and inodes, as an allocation of memory may.
func TestServerMayReclaimWhileItAnswers(t *testing.T) {
	guest.Need(t)
	// Who is stuck for 5 seconds is stuck: this saves the 30 of runvm test.
	guest.Sysctl(t, "kernel/hung_task_timeout_secs", "5")
	read := make(chan *rawfuse.Request, 1)
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{make([]byte, 16*guest.PageSize())},
		Init:  fuse.CAP_ASYNC_READ | fuse.CAP_NO_OPEN_SUPPORT,
		Handle: func(s *rawfuse.Server, q *rawfuse.Request) bool {
			switch q.Opcode {
			case rawfuse.OpOpen:
				return s.Reply(q.Unique, unix.ENOSYS, nil) == nil
			case rawfuse.OpRead:
				read <- q
				return true
			}
			return false
		},
	})
	fd, err := unix.Open(s.Path(0), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED); err != nil {
		t.Fatalf("read ahead: %v", err)
	}
	q := rawfuse.Next(t, "READ", read)
	unix.Close(fd)
	for range 8 { // each round makes what it passes over a little older
		guest.Sysctl(t, "vm/drop_caches", "2") // it is for the kernel to say that this hangs
	}
	s.Answer(q)
}
