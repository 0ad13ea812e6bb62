package rsplice

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// requestErrors are the rows in which the request cannot be filled.
func requestErrors() []errorRow {
	return []errorRow{
		{"ENOENT/no-request", testNoRequest},
		{"ENOENT/ended-meanwhile", testEndedMeanwhile},
		{"EOPNOTSUPP/not-negotiated", testNotNegotiated},
		{"EOPNOTSUPP/not-a-read", testNotARead},
		{"EOPNOTSUPP/page-in-part", testPageInPart},
		{"EOPNOTSUPP/kernel-memory", testKernelMemory},
		{"EPERM/not-mounted", testNotMounted},
	}
}

// cannotClaim checks the error of both forms that claim.
func (s *server) cannotClaim(t *testing.T, device int, unique uint64, want unix.Errno) {
	t.Helper()
	_, err := rsplice.Claim(device, unique, s.pipe[1], 1, 0)
	fails(t, "claim", err, want)
	_, err = rsplice.Direct(device, unique, s.sourceFD(), nil, 1)
	fails(t, "claim and fill", err, want)
}

func testNoRequest(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		clone := cloneOf(t, s)
		s.cannotClaim(t, clone, req.unique, want)
		for _, unique := range []uint64{0, 1, req.unique + 1, req.unique + 2, req.unique | uniqueResend, math.MaxUint64} {
			s.cannotClaim(t, s.device, unique, want)
		}
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		s.cannotClaim(t, s.device, req.unique, want)
	})
}

func testEndedMeanwhile(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		near, far := newSocket(t)
		f := s.began(t, req, far, func() error {
			_, err := rsplice.Direct(s.device, req.unique, near, nil, req.size)
			return err
		})
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
		fails(t, "claim and fill", f.ends(t), want)
	})
}

func testNotNegotiated(t *testing.T, want unix.Errno) {
	s := mountWith(t, 0, 0)
	r := s.read(t, 0, int(s.size))
	req := s.next(t)
	s.cannotClaim(t, s.device, req.unique, want)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, int(s.size))
}

func testNotARead(t *testing.T, want unix.Errno) {
	s := mount(t, 0)
	seen := 0
	s.other = func(opcode uint32, unique uint64) {
		switch opcode {
		case opForget, opBatchForget, opInterrupt: // have no reply
		default:
			seen++
			s.cannotClaim(t, s.device, unique, want)
		}
	}
	s.whileServing(t, func() error {
		_, _ = os.ReadDir(s.dir) // READDIR reads to pages too
		_, err := os.Stat(s.file())
		return err
	})
	if seen < 3 {
		t.Errorf("%d requests: the test has shown nothing", seen)
	}
}

// The last page that a file can have is short of a byte.
func testPageInPart(t *testing.T, want unix.Errno) {
	s := mount(t, 0)
	s.size = math.MaxInt64
	last := s.size / int64(guest.PageSize()) * int64(guest.PageSize())
	r := s.read(t, last, 100)
	for refused := false; !refused; {
		req := s.next(t)
		if int64(req.size) == s.size-req.off {
			refused = true
			s.cannotClaim(t, s.device, req.unique, want)
		}
		if err := s.replyData(req, s.sizeAt(req)); err != nil {
			t.Fatal(err)
		}
	}
	r.gets(t, s, 100)
}

// To execute a file the kernel reads its beginning to a buffer of its own, and
// splice(2) from a file opened with O_DIRECT reads to pages of its own.
func testKernelMemory(t *testing.T, want unix.Errno) {
	s := mount(t, directIO)
	s.mode = 0o755
	var out bytes.Buffer
	cmd := as("exec", s.file())
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.beforeUnmount = append(s.beforeUnmount, func() { _ = cmd.Process.Kill() })
	req := s.next(t)
	s.cannotClaim(t, s.device, req.unique, want)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	s.whileServing(t, cmd.Wait)
	if out.String() != unix.ENOEXEC.Error() {
		t.Errorf("exec: %s, want %v", out.String(), unix.ENOEXEC)
	}
	s.splicedDirect(t, want)
}

func (s *server) splicedDirect(t *testing.T, want unix.Errno) {
	t.Helper()
	file := -1
	s.whileServing(t, func() (err error) {
		file, err = unix.Open(s.file(), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		return err
	})
	done := make(chan error, 1)
	go func() {
		var off int64
		n, err := unix.Splice(file, &off, s.pipe[1], nil, guest.PageSize(), 0)
		if err == nil && int(n) != guest.PageSize() {
			err = fmt.Errorf("%d bytes", n)
		}
		unix.Close(file)
		done <- err
	}()
	req, other := s.next(t), newPipe(t)
	_, err := rsplice.Claim(s.device, req.unique, other[1], 1, 0)
	fails(t, "claim of pages of a pipe", err, want)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	s.whileServing(t, func() error { return <-done })
	b := make([]byte, guest.PageSize())
	n, err := unix.Read(s.pipe[0], b)
	moves(t, "read of what was spliced", n, err, len(b))
	guest.Same(t, s.data, b, 0)
}

func testNotMounted(t *testing.T, want unix.Errno) {
	s := mount(t, 0)
	s.cannotClaim(t, open(t, "/dev/fuse", unix.O_RDWR), 2, want)
}
