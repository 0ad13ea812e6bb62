package rsplice

import (
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// pipeErrors are the rows in which a pipe is at fault, or what is in it.
func pipeErrors() []errorRow {
	return []errorRow{
		{"EAGAIN/pipe-full", testPipeFull},
		{"EAGAIN/pipe-empty", testPipeEmpty},
		{"ECANCELED/request-ended", testRequestEnded},
		{"EINTR/signal", testSignal},
		{"EINVAL/same-pipe", testSamePipe},
		{"EINVAL/data-in-pipe", testDataInPipe},
		{"EINVAL/notification-pipe", testNotificationPipe},
		{"EPIPE/no-reader", testNoReader},
		{"EACCES/read", testReadOfEmptyBuffer},
		{"EFAULT/duplicate", testDuplicateOfEmptyBuffer},
	}
}

func nonblock(t *testing.T, fd int) {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
}

func testPipeFull(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		full := fullPipe(t)
		_, err := rsplice.Claim(s.device, req.unique, full[1], req.size, rsplice.Nonblock)
		fails(t, "claim with the flag", err, want)
		s.claim(t, req)
		_, err = rsplice.Move(s.pipe[0], full[1], req.size, rsplice.Nonblock)
		fails(t, "move with the flag", err, want)
		nonblock(t, full[1])
		_, err = rsplice.Claim(s.device, req.unique, full[1], req.size, 0)
		fails(t, "claim to a pipe that does not block", err, want)
		_, err = rsplice.Move(s.pipe[0], full[1], req.size, 0)
		fails(t, "move to a pipe that does not block", err, want)
	})
}

func testPipeEmpty(t *testing.T, want unix.Errno) {
	s, other := mount(t, 0), newPipe(t)
	_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, rsplice.Nonblock)
	fails(t, "fill with the flag", err, want)
	_, err = rsplice.Move(s.pipe[0], other[1], 1, rsplice.Nonblock)
	fails(t, "move with the flag", err, want)
	nonblock(t, s.pipe[0])
	_, err = rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, 0)
	fails(t, "fill from a pipe that does not block", err, want)
	_, err = rsplice.Move(s.pipe[0], other[1], 1, 0)
	fails(t, "move from a pipe that does not block", err, want)
}

func testRequestEnded(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		for range 3 {
			_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 100, 0)
			moves(t, "claim", 100, err, 100)
		}
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, 0)
		fails(t, "fill", err, want)
		n, err := unix.IoctlGetInt(s.pipe[0], unix.TIOCINQ)
		moves(t, "bytes in the pipe", n, err, 0)
	})
}

// sigaction is the kernel's struct of this name, on architectures with a
// restorer.
type sigaction struct {
	handler, flags, restorer, mask uint64
}

// interrupting makes a signal end a system call, as Go's handlers do not.
func interrupting(t *testing.T, sig unix.Signal) {
	t.Helper()
	const restart = 0x10000000 // SA_RESTART
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, sig)
	t.Cleanup(func() { signal.Reset(sig) })
	var action sigaction
	at := uintptr(unsafe.Pointer(&action))
	if _, _, no := unix.Syscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, at, 8, 0, 0); no != 0 {
		t.Fatal(no)
	}
	action.flags &^= restart
	if _, _, no := unix.Syscall6(unix.SYS_RT_SIGACTION, uintptr(sig), at, 0, 8, 0, 0); no != 0 {
		t.Fatal(no)
	}
}

func testSignal(t *testing.T, want unix.Errno) {
	s, other, full := mount(t, 0), newPipe(t), fullPipe(t)
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	near, _ := newSocket(t)
	interrupting(t, unix.SIGUSR2)
	fails(t, "claim and fill", signalled(t, func() (int, error) {
		return rsplice.Direct(s.device, req.unique, near, nil, 1)
	}), want)
	s.claim(t, req)
	for name, call := range map[string]func() (int, error){
		"claim": func() (int, error) { return rsplice.Claim(s.device, req.unique, full[1], 1, 0) },
		"fill":  func() (int, error) { return rsplice.Fill(other[0], s.sourceFD(), nil, 1, 0) },
		"fill from a socket": func() (int, error) {
			return rsplice.Fill(s.pipe[0], near, nil, 1, 0)
		},
		"move": func() (int, error) { return rsplice.Move(s.pipe[0], full[1], 1, 0) },
	} {
		fails(t, name, signalled(t, call), want)
	}
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, int(s.size))
}

// signalled makes a call that waits, and sends its thread signals until it has
// returned.
func signalled(t *testing.T, call func() (int, error)) error {
	t.Helper()
	thread, done := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		_, err := call()
		done <- err
	}()
	tid := <-thread
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Millisecond):
			_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGUSR2)
		}
	}
	t.Fatal("a call that waits is not ended by signals")
	return nil
}

func testSamePipe(t *testing.T, want unix.Errno) {
	p := newPipe(t)
	_, err := rsplice.Move(p[0], p[1], 1, 0)
	fails(t, "move", err, want)
}

func testDataInPipe(t *testing.T, want unix.Errno) {
	s, other := mount(t, 0), newPipe(t)
	if _, err := unix.Write(s.pipe[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, 0)
	fails(t, "fill", err, want)
	_, err = rsplice.Move(s.pipe[0], other[1], 1, 0)
	fails(t, "move", err, want)
}

func testNotificationPipe(t *testing.T, want unix.Errno) {
	const notification = unix.O_EXCL // O_NOTIFICATION_PIPE
	var p [2]int
	if err := unix.Pipe2(p[:], notification|unix.O_CLOEXEC); err == unix.ENOPKG {
		t.Skip("kernel has no CONFIG_WATCH_QUEUE")
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	withRead(t, 0, func(s *server, req request) {
		_, err := rsplice.Claim(s.device, req.unique, p[1], req.size, 0)
		fails(t, "claim", err, want)
		_, err = rsplice.Fill(p[0], s.sourceFD(), nil, 1, 0)
		fails(t, "fill", err, want)
		_, err = rsplice.Move(s.pipe[0], p[1], 1, 0)
		fails(t, "move", err, want)
	})
}

func testNoReader(t *testing.T, want unix.Errno) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGPIPE)
	t.Cleanup(func() { signal.Reset(unix.SIGPIPE) })
	withRead(t, 0, func(s *server, req request) {
		broken := newPipe(t)
		unix.Close(broken[0])
		_, err := rsplice.Claim(s.device, req.unique, broken[1], req.size, 0)
		fails(t, "claim", err, want)
		comes(t, caught, "claim")
		s.claim(t, req)
		_, err = rsplice.Move(s.pipe[0], broken[1], 1, 0)
		fails(t, "move", err, want)
		comes(t, caught, "move")
	})
}

// comes waits for the signal of a call.
func comes(t *testing.T, caught chan os.Signal, what string) {
	t.Helper()
	select {
	case <-caught:
	case <-time.After(prompt):
		t.Errorf("%s: no signal", what)
	}
}

func testReadOfEmptyBuffer(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		if _, err := unix.Write(s.pipe[1], []byte("front")); err != nil {
			t.Fatal(err)
		}
		s.claim(t, req)
		file := open(t, filepath.Join(t.TempDir(), "file"), unix.O_WRONLY|unix.O_CREAT)
		_, err := unix.Splice(s.pipe[0], nil, file, nil, len("front")+1, 0)
		fails(t, "splice to a file", err, want)
		b := make([]byte, 100)
		n, err := unix.Read(s.pipe[0], b)
		moves(t, "read of what is in front", n, err, len("front"))
		_, err = unix.Read(s.pipe[0], b)
		fails(t, "read", err, want)
		null := open(t, os.DevNull, unix.O_WRONLY)
		_, err = unix.Splice(s.pipe[0], nil, null, nil, req.size, 0)
		fails(t, "splice", err, want)
		_, err = unix.Vmsplice(s.pipe[0], []unix.Iovec{{Base: &b[0], Len: 100}}, 0)
		fails(t, "vmsplice", err, want)
	})
}

func testDuplicateOfEmptyBuffer(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		other := newPipe(t)
		s.claim(t, req)
		_, err := unix.Tee(s.pipe[0], other[1], req.size, 0)
		fails(t, "tee", err, want)
		_, err = unix.Splice(s.pipe[0], nil, other[1], nil, req.size-1, 0)
		fails(t, "splice of a part", err, want)
	})
}
