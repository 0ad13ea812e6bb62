package rsplice

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A peek is an attempt to see what is in a pipe.
type peek struct {
	name string
	try  func() (int, error)
	want unix.Errno
}

// peeks are all the calls that take something out of a pipe. They write to b
// and to file, if they write at all.
func peeks(t *testing.T, s *server, b []byte, file int) []peek {
	t.Helper()
	pipe, other := s.pipe[0], newPipe(t)
	ring, err := newUring()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.close() })
	null := open(t, os.DevNull, unix.O_WRONLY)
	near, _ := newSocket(t)
	tcp, _ := newTCP(t)
	vec := []unix.Iovec{{Base: &b[0], Len: 100}}
	splice := func(to, n int) func() (int, error) {
		return func() (int, error) {
			n, err := unix.Splice(pipe, nil, to, nil, n, 0)
			return int(n), err
		}
	}
	uring := func(op byte, fd, in int) func() (int, error) {
		return func() (int, error) { return ring.do(op, fd, in, unsafe.Pointer(&b[0]), len(b), -1) }
	}
	return []peek{
		{"read", func() (int, error) { return unix.Read(pipe, b) }, unix.EACCES},
		{"readv", func() (int, error) { return unix.Readv(pipe, [][]byte{b[:1], b[1:]}) }, unix.EACCES},
		{"vmsplice", func() (int, error) { return unix.Vmsplice(pipe, vec, 0) }, unix.EACCES},
		{"splice to /dev/null", splice(null, len(b)), unix.EACCES},
		{"splice to a file", splice(file, len(b)), unix.EACCES},
		{"splice to a unix socket", splice(near, len(b)), unix.EACCES},
		{"splice to a TCP socket", splice(tcp, len(b)), unix.EACCES},
		{"splice to the device", splice(s.device, 10), unix.EINVAL},
		{"splice of a part to a pipe", splice(other[1], 10), unix.EFAULT},
		{"tee", func() (int, error) {
			n, err := unix.Tee(pipe, other[1], len(b), 0)
			return int(n), err
		}, unix.EFAULT},
		{"sendfile to a file", func() (int, error) { return unix.Sendfile(file, pipe, nil, len(b)) }, unix.EINVAL},
		{"sendfile to a socket", func() (int, error) { return unix.Sendfile(near, pipe, nil, len(b)) }, unix.EINVAL},
		{"sendfile to a pipe", func() (int, error) { return unix.Sendfile(other[1], pipe, nil, len(b)) }, unix.EINVAL},
		{"copy_file_range", func() (int, error) { return unix.CopyFileRange(pipe, nil, file, nil, len(b), 0) }, unix.EINVAL},
		{"io_uring read", uring(uringRead, pipe, 0), unix.EACCES},
		{"io_uring splice to a file", uring(uringSplice, file, pipe), unix.EACCES},
		{"io_uring tee", uring(uringTee, other[1], pipe), unix.EFAULT},
	}
}

// Whatever is done to a pipe with empty buffers in it, what was in the memory
// before is not seen, and the buffers can still be filled.
func TestEmptyBuffersCannotBeRead(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		b := bytes.Repeat([]byte{canary}, req.size)
		file := open(t, t.TempDir()+"/file", unix.O_RDWR|unix.O_CREAT)
		for _, p := range peeks(t, s, b, file) {
			_, err := p.try()
			fails(t, p.name, err, p.want)
			if !onlyCanary(b) {
				t.Fatalf("%s has written to the buffer", p.name)
			}
		}
		var st unix.Stat_t
		if err := unix.Fstat(file, &st); err != nil || st.Size != 0 {
			t.Errorf("the file has %d bytes, %v", st.Size, err)
		}
		s.fill(t, req.off, req.size)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 2*guest.PageSize())
	})
}

// What splice(2) takes out of the pipe before it finds that it must not be read
// is lost, but not seen: not by another FUSE request, not by a file on FUSE.
func TestSpliceToFUSELosesEmptyBuffers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		other := mount(t, 0)
		file := -1
		other.whileServing(t, func() (err error) {
			file, err = unix.Open(other.file(), unix.O_RDWR|unix.O_CLOEXEC, 0)
			return err
		})
		written := false
		other.other = func(opcode uint32, _ uint64) { written = written || opcode == opWrite }
		s.claim(t, req)
		other.whileServing(t, func() error {
			_, err := unix.Splice(s.pipe[0], nil, file, nil, req.size, 0)
			fails(t, "splice to a file on FUSE", err, unix.EACCES)
			return unix.Close(file)
		})
		if written {
			t.Error("a WRITE was sent")
		}
		_, err := unix.Splice(s.pipe[0], nil, s.device, nil, req.size, 0)
		fails(t, "splice to the device", err, unix.EACCES)
		n, err := unix.IoctlGetInt(s.pipe[0], unix.TIOCINQ)
		moves(t, "bytes in the pipe", n, err, 0)
		fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		r.gets(t, s, 2*guest.PageSize())
	})
}

func onlyCanary(b []byte) bool { return bytes.Count(b, []byte{canary}) == len(b) }

func TestSpliceMovesWholeEmptyBuffers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		other := newPipe(t)
		n, err := unix.Splice(s.pipe[0], nil, other[1], nil, req.size, 0)
		moves(t, "splice", int(n), err, req.size)
		off := req.off
		got, err := rsplice.Fill(other[0], int(s.source.Fd()), &off, req.size, 0)
		moves(t, "fill", got, err, req.size)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 2*guest.PageSize())
	})
}

func TestPipeCountsEmptyBuffersAsData(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		n, err := unix.IoctlGetInt(s.pipe[0], unix.TIOCINQ)
		moves(t, "FIONREAD", n, err, req.size)
		if n, err := unix.Write(s.pipe[1], []byte("behind")); n != 6 || err != nil {
			t.Errorf("write behind it: %d, %v", n, err)
		}
		s.fill(t, req.off, req.size)
		b := make([]byte, 10)
		n, err = unix.Read(s.pipe[0], b)
		if err != nil || string(b[:max(n, 0)]) != "behind" {
			t.Errorf("read what is behind: %q, %v", b[:max(n, 0)], err)
		}
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, guest.PageSize())
	})
}
