package rsplice

import (
	"math"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// nowhere is an address that no process has.
const nowhere = 1 << 62

// argumentErrors are the rows that tell of wrong arguments.
func argumentErrors() []errorRow {
	return []errorRow{
		{"EBADF/no-descriptor", testNoDescriptor},
		{"EBADF/destination-not-writable", testDestinationNotWritable},
		{"EBADF/wrong-pipe-end", testWrongPipeEnd},
		{"EBADF/source-not-readable", testSourceNotReadable},
		{"EFAULT/destination-offset", testBadDestinationOffset},
		{"EFAULT/source-offset", testBadSourceOffset},
		{"EINVAL/unknown-flag", testUnknownFlag},
		{"EINVAL/no-destinations", testNoDestinations},
		{"EINVAL/no-destination-offset", testNoDestinationOffset},
		{"EINVAL/source-offset", testNegativeOffset},
		{"ESPIPE/pipe-offset", testPipeOffset},
		{"ESPIPE/source-offset", testStreamOffset},
	}
}

func open(t *testing.T, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func (s *server) sourceFD() int { return int(s.source.Fd()) }

func testNoDescriptor(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		_, err := rsplice.Claim(-1, req.unique, s.pipe[1], req.size, 0)
		fails(t, "claim from nothing", err, want)
		_, err = rsplice.Claim(s.device, req.unique, -1, req.size, 0)
		fails(t, "claim to nothing", err, want)
		_, err = rsplice.Fill(s.pipe[0], -1, nil, req.size, 0)
		fails(t, "fill from nothing", err, want)
		_, err = rsplice.Direct(s.device, req.unique, -1, nil, req.size)
		fails(t, "claim and fill from nothing", err, want)
	})
}

func testDestinationNotWritable(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		readOnly := open(t, "/dev/fuse", unix.O_RDONLY)
		if err := unix.IoctlSetPointerInt(readOnly, cloneDevice, s.device); err != nil {
			t.Fatalf("clone: %v", err)
		}
		_, err := rsplice.Claim(readOnly, req.unique, s.pipe[1], req.size, 0)
		fails(t, "claim", err, want)
		_, err = rsplice.Direct(readOnly, req.unique, s.sourceFD(), nil, req.size)
		fails(t, "claim and fill", err, want)
	})
}

func testWrongPipeEnd(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		other := newPipe(t)
		_, err := rsplice.Claim(s.device, req.unique, s.pipe[0], req.size, 0)
		fails(t, "claim", err, want)
		_, err = rsplice.Fill(s.pipe[1], s.sourceFD(), nil, req.size, 0)
		fails(t, "fill", err, want)
		_, err = rsplice.Move(s.pipe[1], other[1], 1, 0)
		fails(t, "move from the wrong end", err, want)
		_, err = rsplice.Move(s.pipe[0], other[0], 1, 0)
		fails(t, "move to the wrong end", err, want)
	})
}

func testSourceNotReadable(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		null := open(t, os.DevNull, unix.O_WRONLY)
		s.claim(t, req)
		_, err := rsplice.Fill(s.pipe[0], null, nil, req.size, 0)
		fails(t, "fill", err, want)
		_, err = rsplice.Direct(s.device, req.unique, null, nil, req.size)
		fails(t, "claim and fill", err, want)
	})
}

func testBadDestinationOffset(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		_, err := raw(s.device, nowhere, s.pipe[1], 0, 1, 0)
		fails(t, "claim", err, want)
		_, err = raw(s.device, nowhere, s.sourceFD(), 0, 1, 0)
		fails(t, "claim and fill", err, want)
	})
}

// An offset that can be read but not written fails too late: the bytes are in
// place.
func testBadSourceOffset(t *testing.T, want unix.Errno) {
	readOnly, err := unix.Mmap(-1, 0, guest.PageSize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	zero := uintptr(unsafe.Pointer(&readOnly[0])) // the file's first byte
	s := mount(t, 0)
	r := s.read(t, 0, 2*guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	_, err = raw(s.pipe[0], 0, s.sourceFD(), nowhere, 1, 0)
	fails(t, "fill", err, want)
	_, err = raw(s.pipe[0], 0, s.sourceFD(), zero, uintptr(req.size), 0)
	fails(t, "fill with an offset that cannot be written", err, want)
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
	r.gets(t, s, 2*guest.PageSize())
}

func testUnknownFlag(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		for bit := range 32 {
			if flag := 1 << bit; flag != rsplice.Nonblock && flag != rsplice.FlagComplete {
				_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, flag)
				fails(t, "claim", err, want)
				_, err = raw(-1, 0, -1, 0, 0, flag)
				fails(t, "nothing", err, want)
			}
		}
	})
}

func testNoDestinations(t *testing.T, want unix.Errno) {
	s := mount(t, 0)
	zero := open(t, "/dev/zero", unix.O_RDWR)
	socket, _ := newSocket(t)
	for _, fd := range []int{s.sourceFD(), zero, socket} {
		_, err := rsplice.Claim(fd, 2, s.pipe[1], 1, 0)
		fails(t, "claim", err, want)
		_, err = rsplice.Direct(fd, 2, s.sourceFD(), nil, 1)
		fails(t, "claim and fill", err, want)
	}
}

func testNoDestinationOffset(t *testing.T, want unix.Errno) {
	s := mount(t, 0)
	_, err := raw(s.device, 0, s.pipe[1], 0, 1, 0)
	fails(t, "claim", err, want)
	_, err = raw(s.device, 0, s.sourceFD(), 0, 1, 0)
	fails(t, "claim and fill", err, want)
}

func testNegativeOffset(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		s.claim(t, req)
		for _, off := range []int64{-1, math.MinInt64, math.MaxInt64 - 1} {
			_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), &off, req.size, 0)
			fails(t, "fill", err, want)
			_, err = rsplice.Direct(s.device, req.unique, s.sourceFD(), &off, req.size)
			fails(t, "claim and fill", err, want)
		}
	})
}

func testPipeOffset(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		var off int64
		at := uintptr(unsafe.Pointer(&off))
		other := newPipe(t)
		_, err := raw(s.device, at, s.pipe[1], at, 1, 0)
		fails(t, "claim", err, want)
		_, err = raw(s.pipe[0], at, s.sourceFD(), at, 1, 0)
		fails(t, "fill", err, want)
		_, err = raw(s.pipe[0], at, other[1], 0, 1, 0)
		fails(t, "move from an offset", err, want)
		_, err = raw(s.pipe[0], 0, other[1], at, 1, 0)
		fails(t, "move to an offset", err, want)
	})
}

func testStreamOffset(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		var off int64
		socket, _ := newSocket(t)
		_, err := rsplice.Fill(s.pipe[0], socket, &off, 1, 0)
		fails(t, "fill", err, want)
		_, err = rsplice.Direct(s.device, req.unique, socket, &off, 1)
		fails(t, "claim and fill", err, want)
	})
}
