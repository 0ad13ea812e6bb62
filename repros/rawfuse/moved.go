package rawfuse

import (
	"bytes"
	"os"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// movedSize is the size of the file of ReadMoved, in bytes.
const movedSize = MaxWrite

// ReadMoved reads a file of a server that answers READ with the pages of
// another file and lets the kernel take them, and checks what was read, that
// pages were taken, and that no page was asked for twice. The other file is on a
// mount of its own: its pages are clean and belong to nobody else.
func ReadMoved(t *testing.T) {
	t.Helper()
	want := bytes.Repeat([]byte("sixteen bytes...")[:16], movedSize/16)
	below := Mount(t, Options{Files: [][]byte{want, nil}, Open: fuse.FOPEN_KEEP_CACHE})
	source := below.Open(0, unix.O_RDONLY)
	if n, err := unix.Pread(source, make([]byte, movedSize), 0); n != movedSize {
		t.Fatalf("read of the source: %d, %v", n, err)
	}
	// Pages on their way to the lists of the kernel have one more user and
	// would be copied; this has them arrive.
	if err := unix.Fadvise(below.Open(1, unix.O_RDONLY), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	m := &mover{file: os.NewFile(uintptr(below.dup(source)), "source")}
	defer m.file.Close()
	above := Mount(t, Options{
		Files: [][]byte{make([]byte, movedSize)},
		Init:  fuse.CAP_ASYNC_READ,
		Handle: func(s *Server, q *Request) bool {
			return q.Opcode == OpRead && m.answer(s, q)
		},
	})
	got := make([]byte, movedSize)
	n, err := unix.Pread(above.Open(0, unix.O_RDONLY), got, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.taken == 0:
		t.Error("no page was moved: nothing is tested")
	case n != movedSize:
		t.Errorf("read of moved pages: %d, %v", n, err)
	case !bytes.Equal(got, want):
		t.Error("read of moved pages: other bytes than the source has")
	case m.asked > movedSize:
		t.Errorf("the kernel took %d pages of a file of %d bytes and asked for %d bytes", m.taken, movedSize, m.asked)
	}
}

// A mover answers READs by moving pages of a file.
type mover struct {
	file *os.File

	mu           sync.Mutex // held while a READ is answered, longer than its reader waits
	asked, taken int        // bytes of READs; pages that left the file
}

func (m *mover) answer(s *Server, q *Request) bool {
	in := In[fuse.ReadIn](q)
	size := min(int(in.Size), movedSize-int(in.Offset))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked += size
	p := s.NewPipe()
	if err := FillPipe(p, q.Unique, int(m.file.Fd()), int64(in.Offset), size); err != nil {
		s.t.Errorf("answer: %v", err)
		return false
	}
	before := guest.ResidentPages(s.t, m.file)
	if err := s.SendPipe(p, size); err != nil {
		s.t.Errorf("answer: %v", err)
	}
	m.taken += before - guest.ResidentPages(s.t, m.file)
	return true
}

// dup is a second descriptor, for who closes it.
func (s *Server) dup(fd int) int {
	s.t.Helper()
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return fd
}
