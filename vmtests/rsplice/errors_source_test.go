package rsplice

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// sourceErrors are the rows in which the source is at fault, or the memory.
func sourceErrors() []errorRow {
	return []errorRow{
		{"EAGAIN/source-without-data", testSourceWithoutData},
		{"EINVAL/source-unreadable", testSourceUnreadable},
		{"EINVAL/source-alignment", testSourceAlignment},
		{"EIO/source-error", testSourceError},
		{"ENOMEM/no-memory", testNoMemory},
		{"EOPNOTSUPP/unsettled-source", testUnsettledSource},
		{"EPERM/denied", testDenied},
	}
}

func testSourceWithoutData(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		near, _ := newSocket(t)
		nonblock(t, near)
		_, err := rsplice.Direct(s.device, req.unique, near, nil, req.size)
		fails(t, "claim and fill", err, want)
		s.claim(t, req)
		_, err = rsplice.Fill(s.pipe[0], near, nil, req.size, 0)
		fails(t, "fill", err, want)
	})
}

func testSourceUnreadable(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		dir := open(t, t.TempDir(), unix.O_RDONLY)
		unmounted := open(t, "/dev/fuse", unix.O_RDWR)
		s.claim(t, req)
		_, err := rsplice.Fill(s.pipe[0], dir, nil, req.size, 0)
		fails(t, "fill from a directory", err, want)
		_, err = rsplice.Fill(s.pipe[0], s.device, nil, req.size, 0)
		fails(t, "fill from the device", err, want)
		_, err = rsplice.Direct(s.device, req.unique, dir, nil, req.size)
		fails(t, "claim and fill", err, want)
		_, err = rsplice.Direct(unmounted, req.unique, dir, nil, req.size)
		fails(t, "claim and fill, nothing mounted", err, want)
	})
}

func testSourceAlignment(t *testing.T, want unix.Errno) {
	withRead(t, 0, func(s *server, req request) {
		disk := s.newLoop(t, unix.O_DIRECT)
		off := int64(1)
		_, err := rsplice.Direct(s.device, req.unique, disk, &off, req.size)
		fails(t, "claim and fill", err, want)
		s.claim(t, req)
		_, err = rsplice.Fill(s.pipe[0], disk, &off, req.size, 0)
		fails(t, "fill at odd offset", err, want)
		off = 0
		_, err = rsplice.Fill(s.pipe[0], disk, &off, 100, 0)
		fails(t, "fill of odd length", err, want)
	})
	unfitMemory(t, want)
}

// unfitMemory reads to parts of memory that do not meet between two pages, and to
// memory that begins elsewhere in a page than what is read from the source. Block
// devices may not look at either. A file on tmpfs would take them.
func unfitMemory(t *testing.T, want unix.Errno) {
	t.Helper()
	page := guest.PageSize()
	mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		off   int64
		parts [][]byte
	}{
		"parts that do not meet between sectors": {0, [][]byte{mem[:100], mem[page : 2*page-100]}},
		"parts that do not meet between pages":   {0, [][]byte{mem[:512], mem[page : 2*page-512]}},
		"memory that begins within a page":       {0, [][]byte{mem[512 : 512+page]}},
		"a source that begins within a page":     {512, [][]byte{mem[:page]}},
	} {
		s := mount(t, directIO)
		done := make(chan error, 1)
		go func() { done <- readParts(s.file(), c.parts) }()
		req := s.next(t)
		source := open(t, s.source.Name(), unix.O_RDONLY|unix.O_DIRECT)
		for name, fd := range map[string]int{"a file": source, "a disk": s.newLoop(t, unix.O_DIRECT)} {
			off := c.off
			_, err := rsplice.Direct(s.device, req.unique, fd, &off, req.size)
			fails(t, what+", from "+name, err, want)
		}
		if err := s.replyData(req, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		s.whileServing(t, func() error { return <-done })
		if err := s.data.Check(bytes.Join(c.parts, nil), 0); err != nil {
			t.Error(err)
		}
	}
}

// Memory may begin where the source's page does, too.
func TestDirectIOFitsPageByPage(t *testing.T) {
	need(t)
	const at = 512
	page := guest.PageSize()
	mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	s := mount(t, directIO)
	done := make(chan error, 1)
	go func() { done <- readParts(s.file(), [][]byte{mem[at : at+page]}) }()
	req := s.next(t)
	off := int64(at)
	n, err := rsplice.Direct(s.device, req.unique, s.newLoop(t, unix.O_DIRECT), &off, req.size)
	moves(t, "claim and fill", n, err, page)
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
	s.whileServing(t, func() error { return <-done })
	if err := s.data.Check(mem[at:at+page], at); err != nil {
		t.Error(err)
	}
}

// readParts reads as much of a file as fits into parts, at once.
func readParts(name string, parts [][]byte) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Preadv(fd, parts, 0)
	if want := len(bytes.Join(parts, nil)); err == nil && n != want {
		err = fmt.Errorf("read %d bytes, want %d", n, want)
	}
	return err
}

// A disk whose second page cannot be read: what comes before is delivered, then
// the error, and the READ can still be answered otherwise.
func testSourceError(t *testing.T, want unix.Errno) {
	page := guest.PageSize()
	s := mount(t, 0)
	disk := s.newLoop(t, 0)
	if err := os.Truncate(s.source.Name(), int64(page)); err != nil {
		t.Fatal(err)
	}
	r := s.read(t, 0, 2*page)
	req := s.next(t)
	s.claim(t, req)
	var off int64
	n, err := rsplice.Fill(s.pipe[0], disk, &off, req.size, 0)
	moves(t, "fill up to the bad page", n, err, page)
	_, err = rsplice.Fill(s.pipe[0], disk, &off, req.size, 0)
	fails(t, "fill of the bad page", err, want)
	fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, 2*page)
}

// drop gives the server a new pipe.
func (s *server) drop(t *testing.T) {
	t.Helper()
	unix.Close(s.pipe[0])
	unix.Close(s.pipe[1])
	if err := unix.Pipe2(s.pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

func testUnsettledSource(t *testing.T, want unix.Errno) {
	zero := open(t, "/dev/zero", unix.O_RDONLY)
	withRead(t, directIO, func(s *server, req request) {
		_, err := rsplice.Direct(s.device, req.unique, zero, nil, 10)
		fails(t, "claim and fill", err, want)
		s.claim(t, req)
		_, err = rsplice.Fill(s.pipe[0], zero, nil, 10, 0)
		fails(t, "fill", err, want)
		s.fill(t, req.off, req.size)
	})
	withRead(t, 0, func(s *server, req request) {
		n, err := rsplice.Direct(s.device, req.unique, zero, nil, 10)
		moves(t, "claim and fill for the page cache", n, err, 10)
	})
}

func testDenied(t *testing.T, want unix.Errno) {
	listener, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	withRead(t, 0, func(s *server, req request) {
		s.claim(t, req)
		err := unix.FanotifyMark(listener, unix.FAN_MARK_ADD, unix.FAN_ACCESS_PERM, unix.AT_FDCWD, s.source.Name())
		if err == unix.EINVAL {
			t.Skip("kernel has no CONFIG_FANOTIFY_ACCESS_PERMISSIONS")
		} else if err != nil {
			t.Fatal(err)
		}
		go denyAll(listener)
		// files that were opened when nobody was asked notify nobody since Linux 6.14
		source := open(t, s.source.Name(), unix.O_RDONLY)
		_, err = rsplice.Fill(s.pipe[0], source, nil, req.size, 0)
		fails(t, "fill", err, want)
		_, err = rsplice.Direct(s.device, req.unique, source, nil, req.size)
		fails(t, "claim and fill", err, want)
	})
}

// denyAll answers permission events until the listener is closed.
func denyAll(listener int) {
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(listener, b)
		if err != nil {
			return
		}
		for e := b[:n]; len(e) >= 24; e = e[24:] { // struct fanotify_event_metadata
			fd := int32(binary.NativeEndian.Uint32(e[16:]))
			answer := binary.NativeEndian.AppendUint32(e[16:20:20], unix.FAN_DENY)
			_, _ = unix.Write(listener, answer)
			unix.Close(int(fd))
		}
	}
}
