// Package rawfuse is a FUSE server for tests that decide themselves about
// single requests: when one is answered, with what, and through which calls.
// The others are answered from files in memory. A mount serves a flat
// directory of files named "0", "1" and so on.
//
// A test may be client and server in one process, as long as its Go code never
// touches a mapping of a file that it serves (see package fusesrv): Peek and
// Poke do that inside of system calls.
package rawfuse

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// MaxWrite is the largest READ and WRITE, in bytes.
const MaxWrite = 128 << 10

// Options say what is served and how.
type Options struct {
	// Files are the contents of the files "0", "1", …
	Files [][]byte
	// Init are capabilities of INIT (fuse.CAP_…) that the server takes where
	// the kernel offers them.
	Init uint64
	// Open are flags (fuse.FOPEN_…) of every answer to OPEN.
	Open uint32
	// BlockDevice makes the mount one of type fuseblk on that device, with
	// blocks of BlockSize bytes.
	BlockDevice string
	BlockSize   int
	// Pipe, if not {0, 0}, is where requests are fetched to, by splice(2). The
	// data of a WRITE stay in it; who takes that request takes them out.
	Pipe [2]int
	// Handle is called with each request but INIT, one at a time. If it
	// returns true, the request is the test's to answer, at any time;
	// otherwise Server.Answer answers it.
	Handle func(s *Server, q *Request) bool
}

// A Server serves one mount until its test ends.
type Server struct {
	t    testing.TB
	o    Options
	dir  string
	dev  int
	done chan struct{} // closed when requests are served no more

	mu    sync.Mutex
	files [][]byte
}

// Mount serves what o says until the test ends. It cannot be unmounted by the
// test's own files being open: the end is an abort.
func Mount(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, o: o, files: o.Files, dir: t.TempDir(), done: make(chan struct{})}
	var err error
	if s.dev, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatalf("open /dev/fuse: %v", err)
	}
	source, kind := "rawfuse", "fuse"
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", s.dev, unix.S_IFDIR)
	if o.BlockDevice != "" {
		source, kind, options = o.BlockDevice, "fuseblk", options+fmt.Sprintf(",blksize=%d", o.BlockSize)
	}
	if err := unix.Mount(source, s.dir, kind, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(s.dev)
		t.Fatalf("mount %s: %v", kind, err)
	}
	go s.serve()
	t.Cleanup(s.end)
	return s
}

// end aborts the connection and waits for what serves it.
func (s *Server) end() {
	_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH) // gone already where the test unmounted
	select {
	case <-s.done:
	case <-time.After(Patience):
		s.t.Errorf("server: not ended %v after its mount", Patience)
	}
	unix.Close(s.dev)
}

// Patience is for what happens at once on a kernel that works.
const Patience = 10 * time.Second

// Next waits for something that a kernel which works does at once.
func Next[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Patience):
		t.Fatalf("no %s after %v", what, Patience)
		panic("unreachable")
	}
}

// Abort ends the connection and leaves the mount: whoever waits for an answer
// gets an error (umount -f of a mount in use).
func (s *Server) Abort() {
	s.t.Helper()
	if err := unix.Unmount(s.dir, unix.MNT_FORCE); err != unix.EBUSY {
		s.t.Errorf("abort: umount -f says %v, want %v: nothing was in use", err, unix.EBUSY)
	}
}

// Dev is the descriptor of /dev/fuse.
func (s *Server) Dev() int { return s.dev }

// Path is the name of a file.
func (s *Server) Path(file int) string { return filepath.Join(s.dir, strconv.Itoa(file)) }

// Node is the number that requests and notifications have for a file.
func Node(file int) uint64 { return uint64(file) + fuse.FUSE_ROOT_ID + 1 }

// Open opens a file, as an application does; it is closed with the test.
func (s *Server) Open(file, flags int) int {
	s.t.Helper()
	fd, err := unix.Open(s.Path(file), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		s.t.Fatalf("open %s: %v", s.Path(file), err)
	}
	s.t.Cleanup(func() { unix.Close(fd) })
	return fd
}
