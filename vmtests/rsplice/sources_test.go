package rsplice

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// sources open a file with the contents of the server's, or with the first
// imageSize bytes of them: every kind of file that a server might have.
func sources() map[string]func(t *testing.T, s *server) (fd int, size int64) {
	onImage := func(fsType string, flags int) func(t *testing.T, s *server) (int, int64) {
		return func(t *testing.T, _ *server) (int, int64) {
			return open(t, filepath.Join(mountImage(t, fsType), "data"), unix.O_RDONLY|flags), imageSize
		}
	}
	onTmpfs := func(flags int) func(t *testing.T, s *server) (int, int64) {
		return func(t *testing.T, s *server) (int, int64) {
			return open(t, s.source.Name(), unix.O_RDONLY|flags), s.size
		}
	}
	return map[string]func(t *testing.T, s *server) (int, int64){
		"tmpfs":         onTmpfs(0),
		"tmpfs-direct":  onTmpfs(unix.O_DIRECT),
		"ext4":          onImage("ext4", 0),
		"ext4-direct":   onImage("ext4", unix.O_DIRECT),
		"xfs":           onImage("xfs", 0),
		"xfs-direct":    onImage("xfs", unix.O_DIRECT),
		"device":        func(t *testing.T, s *server) (int, int64) { return s.newLoop(t, 0), s.size },
		"device-direct": func(t *testing.T, s *server) (int, int64) { return s.newLoop(t, unix.O_DIRECT), s.size },
		"memfd":         memoryFile,
	}
}

// memoryFile is a source without a name.
func memoryFile(t *testing.T, s *server) (int, int64) {
	t.Helper()
	fd, err := unix.MemfdCreate("source", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	b := make([]byte, s.size)
	_, _ = s.data.ReadAt(b, 0)
	if _, err := unix.Write(fd, b); err != nil {
		t.Fatal(err)
	}
	return fd, s.size
}

// Every kind of file fills either kind of memory, with a pipe and without; what
// is read ends with the file.
func TestEveryFileIsASource(t *testing.T) {
	for name, open := range sources() {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) { fillsToItsEnd(t, s, open) })
		})
	}
}

func fillsToItsEnd(t *testing.T, s *server, open func(t *testing.T, s *server) (int, int64)) {
	source, size := open(t, s)
	s.margin = alignedMargin
	s.size = size
	page := guest.PageSize()
	for _, withPipe := range []bool{false, true} {
		// behind the first READ the page cache has nothing yet
		var at int64
		if withPipe {
			at = int64(page)
		}
		want := int(min(size-at, int64(3*page)))
		r := s.read(t, at, 3*page)
		req := s.nextAt(t, at)
		off, fill := req.off, func(off *int64) (int, error) {
			return rsplice.Direct(s.device, req.unique, source, off, req.size)
		}
		if withPipe {
			s.claim(t, req)
			fill = func(off *int64) (int, error) {
				return rsplice.Fill(s.pipe[0], source, off, req.size, 0)
			}
		}
		n, err := fill(&off)
		filled := min(s.sizeAt(req), req.size)
		moves(t, "fill", n, err, filled)
		if filled < req.size {
			off = size
			n, err = fill(&off)
			if err != unix.EINVAL { // nor would read(2) be granted what is not aligned
				moves(t, "fill at the end", n, err, 0)
			}
		}
		if err := rsplice.Reply(s.device, req.unique, filled); err != nil {
			t.Fatalf("reply: %v", err)
		}
		r.gets(t, s, want)
		s.drop(t)
	}
}

// A pipe is where empty buffers go, never where data come from: not its read
// end, not one that is open for both, and not one that holds data.
func TestPipeIsNoSource(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		data, other := newPipe(t), newPipe(t)
		if _, err := unix.Write(data[1], make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		_, err := rsplice.Direct(s.device, req.unique, data[0], nil, req.size)
		fails(t, "claim and fill from a pipe", err, unix.EBADF)
		s.claim(t, req)
		_, err = rsplice.Fill(s.pipe[0], data[0], nil, req.size, 0)
		fails(t, "fill from a pipe", err, unix.EBADF)
		_, err = rsplice.Move(data[0], other[1], 100, 0)
		fails(t, "move of data", err, unix.EINVAL)
		_, err = rsplice.Fill(data[0], s.sourceFD(), nil, 100, 0)
		fails(t, "fill of data", err, unix.EINVAL)
		fails(t, "reply", rsplice.Reply(s.device, req.unique, 1), unix.EINVAL)
		s.fill(t, req.off, req.size)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, guest.PageSize())
	})
}
