package rsplice

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// Whatever is done to a pipe with empty buffers in it, what was in the memory
// before is not seen, and the buffers can still be filled.
func TestEmptyBuffersCannotBeRead(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		s.claim(t, req)
		out := s.pipe[0]
		other := newPipe(t)
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		file, err := os.Create(t.TempDir() + "/file")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		socket, _ := newSocket(t)

		b := make([]byte, req.size)
		for i := range b {
			b[i] = canary
		}
		_, err = unix.Read(out, b)
		fails(t, "read", err, unix.EACCES)
		_, err = unix.Vmsplice(out, []unix.Iovec{{Base: (*byte)(unsafe.Pointer(&b[0])), Len: 100}}, 0)
		fails(t, "vmsplice", err, unix.EACCES)
		_, err = unix.Splice(out, nil, int(null.Fd()), nil, req.size, 0)
		fails(t, "splice to /dev/null", err, unix.EACCES)
		_, err = unix.Splice(out, nil, int(file.Fd()), nil, req.size, 0)
		fails(t, "splice to a file", err, unix.EACCES)
		_, err = unix.Splice(out, nil, socket, nil, req.size, 0)
		fails(t, "splice to a socket", err, unix.EACCES)
		_, err = unix.Splice(out, nil, s.device, nil, 10, 0)
		fails(t, "splice to the device", err, unix.EINVAL)
		_, err = unix.Splice(out, nil, other[1], nil, 10, 0)
		fails(t, "splice of a part to a pipe", err, unix.EFAULT)
		_, err = unix.Tee(out, other[1], req.size, 0)
		fails(t, "tee", err, unix.EFAULT)
		for i, c := range b {
			if c != canary {
				t.Fatalf("byte %d of the buffer is %#02x", i, c)
			}
		}
		if info, err := file.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("the file has %d bytes, %v", info.Size(), err)
		}

		s.fill(t, req.off, req.size)
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, 2*guest.PageSize())
	})
}

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
