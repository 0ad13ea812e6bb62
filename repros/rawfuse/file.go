package rawfuse

import (
	"bytes"
	"os"
	"strconv"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// lookup answers LOOKUP of a file.
func (s *Server) lookup(q *Request) error {
	name, _, _ := bytes.Cut(q.Message[inHeader:], []byte{0})
	file, err := strconv.Atoi(string(name))
	if err != nil || file < 0 || file >= len(s.files) {
		return s.Reply(q.Unique, unix.ENOENT, nil)
	}
	return s.ReplyStruct(q, s.Entry(file))
}

// Entry is the answer to LOOKUP of a file.
func (s *Server) Entry(file int) fuse.EntryOut {
	node := Node(file)
	return fuse.EntryOut{NodeId: node, EntryValid: forever, AttrValid: forever, Attr: s.attr(node)}
}

func (s *Server) attrOut(node uint64) fuse.AttrOut {
	return fuse.AttrOut{AttrValid: forever, Attr: s.attr(node)}
}

func (s *Server) attr(node uint64) fuse.Attr {
	if node == fuse.FUSE_ROOT_ID {
		return fuse.Attr{Ino: node, Mode: unix.S_IFDIR | 0o755, Nlink: 1}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fuse.Attr{Ino: node, Mode: unix.S_IFREG | 0o644, Nlink: 1, Size: uint64(len(*s.file(node)))}
}

// file is the contents of a file; the caller holds s.mu.
func (s *Server) file(node uint64) *[]byte {
	n := int(node - Node(0))
	if n < 0 || n >= len(s.files) {
		return new([]byte)
	}
	return &s.files[n]
}

func (s *Server) setattr(q *Request) error {
	if in := In[fuse.SetAttrIn](q); in.Valid&fuse.FATTR_SIZE != 0 {
		s.resize(q.NodeId, int64(in.Size), true)
	}
	return s.ReplyStruct(q, s.attrOut(q.NodeId))
}

// resize makes a file longer, or shorter where that is meant.
func (s *Server) resize(node uint64, size int64, shorter bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.file(node)
	if now := int64(len(*f)); size > now {
		*f = append(*f, make([]byte, size-now)...)
	} else if shorter {
		*f = (*f)[:size]
	}
}

// Contents is what a file has of size bytes from off on, in the server's eyes.
func (s *Server) Contents(node uint64, off int64, size int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := *s.file(node)
	if off >= int64(len(f)) {
		return nil
	}
	return bytes.Clone(f[off:min(int64(len(f)), off+int64(size))])
}

// store writes to a file.
func (s *Server) store(node uint64, off int64, data []byte) {
	s.resize(node, off+int64(len(data)), false)
	s.mu.Lock()
	defer s.mu.Unlock()
	copy((*s.file(node))[off:], data)
}

// Map maps size bytes of an open file from its start, shared; the mapping ends
// with the test.
func (s *Server) Map(fd, size, prot int) []byte {
	s.t.Helper()
	mem, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		s.t.Fatalf("map: %v", err)
	}
	s.t.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

// Peek reads mapped memory: write(2) touches it, not this code.
func (s *Server) Peek(mem []byte) []byte {
	s.t.Helper()
	f := s.scratch()
	defer f.Close()
	b := make([]byte, len(mem))
	if _, err := f.WriteAt(mem, 0); err != nil {
		s.t.Fatalf("read a mapping: %v", err)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Poke writes to mapped memory: read(2) touches it, not this code.
func (s *Server) Poke(mem, data []byte) {
	s.t.Helper()
	f := s.scratch()
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.ReadAt(mem[:len(data)], 0); err != nil {
		s.t.Fatalf("write to a mapping: %v", err)
	}
}

// scratch is a file in memory.
func (s *Server) scratch() *os.File {
	s.t.Helper()
	fd, err := unix.MemfdCreate("scratch", unix.MFD_CLOEXEC)
	if err != nil {
		s.t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "scratch")
}
