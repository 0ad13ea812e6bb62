package rsplice

import (
	"errors"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// ignoreSIGPIPE makes a broken pipe an error alone, for descriptors of any
// number.
func ignoreSIGPIPE(t *testing.T) {
	signal.Ignore(unix.SIGPIPE)
	t.Cleanup(func() { signal.Reset(unix.SIGPIPE) })
}

// fails checks the error number of a call.
func fails(t *testing.T, what string, err error, want unix.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// moves checks the count of a call.
func moves(t *testing.T, what string, n int, err error, want int) {
	t.Helper()
	if n != want || err != nil {
		t.Errorf("%s: %d, %v; want %d", what, n, err, want)
	}
}

func fullPipe(t *testing.T) [2]int {
	t.Helper()
	p := newPipe(t)
	room, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], make([]byte, room)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClaimRefusesWrongArguments(t *testing.T) {
	need(t)
	ignoreSIGPIPE(t)
	s := mount(t, 0)
	full, fullNonblock, broken := fullPipe(t), fullPipe(t), newPipe(t)
	if err := unix.SetNonblock(fullNonblock[1], true); err != nil {
		t.Fatal(err)
	}
	unix.Close(broken[0])
	clone := cloneOf(t, s)
	unmounted, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(unmounted)
	readOnly, err := unix.Open("/dev/fuse", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(readOnly)
	tmpfs := int(s.source.Fd())

	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	for _, c := range []struct {
		name         string
		device, pipe int
		unique       uint64
		flags        int
		want         unix.Errno
	}{
		{"unknown flag", s.device, s.pipe[1], req.unique, unix.SPLICE_F_MOVE, unix.EINVAL},
		{"no destination descriptor", -1, s.pipe[1], req.unique, 0, unix.EBADF},
		{"no pipe descriptor", s.device, -1, req.unique, 0, unix.EBADF},
		{"wrong end of the pipe", s.device, s.pipe[0], req.unique, 0, unix.EBADF},
		{"device open for reading", readOnly, s.pipe[1], req.unique, 0, unix.EBADF},
		{"file without destinations", tmpfs, s.pipe[1], req.unique, 0, unix.EINVAL},
		{"neither a pipe, and no destination", tmpfs, tmpfs, req.unique, 0, unix.EINVAL},
		{"unknown request", s.device, s.pipe[1], req.unique + 2, 0, unix.ENOENT},
		{"request of another clone", clone, s.pipe[1], req.unique, 0, unix.ENOENT},
		{"device not mounted", unmounted, s.pipe[1], req.unique, 0, unix.EPERM},
		{"full pipe, flag", s.device, full[1], req.unique, rsplice.Nonblock, unix.EAGAIN},
		{"full pipe, O_NONBLOCK", s.device, fullNonblock[1], req.unique, 0, unix.EAGAIN},
		{"pipe without reader", s.device, broken[1], req.unique, 0, unix.EPIPE},
	} {
		_, err := rsplice.Claim(c.device, c.unique, c.pipe, req.size, c.flags)
		fails(t, c.name, err, c.want)
	}
	// none of them has cost the request a byte
	s.answer(t, req)
	r.gets(t, s, int(s.size))
}

func TestFillRefusesWrongArguments(t *testing.T) {
	need(t)
	s := mount(t, 0)
	var off int64
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	socket, _ := newSocket(t)
	tmpfs := int(s.source.Fd())
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		name         string
		pipe, source int
		off          *int64
		flags        int
		want         unix.Errno
	}{
		{"no pipe descriptor", -1, tmpfs, &off, 0, unix.EBADF},
		{"no source descriptor", s.pipe[0], -1, &off, 0, unix.EBADF},
		{"wrong end of the pipe", s.pipe[1], tmpfs, &off, 0, unix.EBADF},
		{"source open for writing", s.pipe[0], int(null.Fd()), nil, 0, unix.EBADF},
		{"source without positions", s.pipe[0], socket, &off, 0, unix.ESPIPE},
		{"source without contents", s.pipe[0], int(dir.Fd()), &off, 0, unix.EINVAL},
		{"unknown flag", s.pipe[0], tmpfs, &off, unix.SPLICE_F_MORE, unix.EINVAL},
		{"empty pipe", s.pipe[0], tmpfs, &off, rsplice.Nonblock, unix.EAGAIN},
	} {
		_, err := rsplice.Fill(c.pipe, c.source, c.off, 1, c.flags)
		fails(t, c.name, err, c.want)
	}
	if _, err := unix.Write(s.pipe[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err = rsplice.Fill(s.pipe[0], tmpfs, &off, 1, 0)
	fails(t, "pipe with data", err, unix.EINVAL)
}

func TestFillOfAnEmptyPipeWithoutWriterEnds(t *testing.T) {
	need(t)
	s := mount(t, 0)
	p := newPipe(t)
	unix.Close(p[1])
	n, err := rsplice.Fill(p[0], int(s.source.Fd()), nil, 1, 0)
	moves(t, "fill", n, err, 0)
}

func TestMoveRefusesWrongArguments(t *testing.T) {
	need(t)
	ignoreSIGPIPE(t)
	a, b, broken := newPipe(t), newPipe(t), newPipe(t)
	unix.Close(broken[0])
	_, err := rsplice.Move(a[0], b[1], 1, rsplice.Nonblock)
	fails(t, "empty pipe", err, unix.EAGAIN)
	_, err = rsplice.Move(a[1], b[1], 1, 0)
	fails(t, "wrong end of the first", err, unix.EBADF)
	_, err = rsplice.Move(a[0], b[0], 1, 0)
	fails(t, "wrong end of the second", err, unix.EBADF)
	_, err = rsplice.Move(a[0], a[1], 1, 0)
	fails(t, "the same pipe", err, unix.EINVAL)
	if _, err := unix.Write(a[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err = rsplice.Move(a[0], b[1], 1, 0)
	fails(t, "pipe with data", err, unix.EINVAL)
	_, err = rsplice.Move(a[0], broken[1], 1, 0)
	fails(t, "pipe without reader", err, unix.EPIPE)
}

func TestClaimNeedsTheInitFlag(t *testing.T) {
	need(t)
	s := mountWith(t, 0, 0)
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, 0)
	fails(t, "claim", err, unix.EOPNOTSUPP)
	fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, int(s.size))
}
