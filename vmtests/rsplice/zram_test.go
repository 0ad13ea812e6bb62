package rsplice

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	zram      = "/dev/zram0"
	zramSetup = "/sys/block/zram0/"
)

// newZram opens, for direct I/O, a disk in compressed memory that holds the file of
// the server. A block of it is a page, and its driver writes a whole page of memory
// for each, wherever in the page it was told to.
func (s *server) newZram(t *testing.T) int {
	t.Helper()
	if _, err := os.Stat(zram); errors.Is(err, fs.ErrNotExist) {
		t.Skip("kernel has no CONFIG_ZRAM")
	}
	set := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(zramSetup+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	set("disksize", "1M")
	t.Cleanup(func() { set("reset", "1") })
	b := make([]byte, s.size)
	_, _ = s.data.ReadAt(b, 0)
	if err := os.WriteFile(zram, b, 0); err != nil {
		t.Fatal(err)
	}
	return open(t, zram, unix.O_RDONLY|unix.O_DIRECT)
}

// A server chooses what is read from where, and to which part of a reader's
// memory. No driver may be led to write beside it.
func TestDirectIOWritesNothingBeside(t *testing.T) {
	need(t)
	for name, c := range map[string]struct{ at, first int }{
		"the reader's buffer begins within a page": {at: 512},
		"the server's fill begins within a page":   {at: 16, first: 512 - 16},
	} {
		t.Run(name, func(t *testing.T) { fillBeside(t, c.at, c.first) })
	}
}

// fillBeside reads to memory at an offset in a page. The server fills a first part
// of it, and then from zram.
func fillBeside(t *testing.T, at, first int) {
	page := guest.PageSize()
	s := mount(t, directIO)
	disk := s.newZram(t)
	mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	canary := bytes.Repeat([]byte{0xee}, len(mem))
	copy(mem, canary)
	end := at + first + page
	done := make(chan error, 1)
	go func() { done <- readParts(s.file(), [][]byte{mem[at:end]}) }()
	req := s.next(t)
	if first > 0 {
		var off int64
		n, err := rsplice.Direct(s.device, req.unique, s.sourceFD(), &off, first)
		moves(t, "first fill", n, err, first)
	}
	var off int64
	_, err = rsplice.Direct(s.device, req.unique, disk, &off, page)
	fails(t, "fill within a page, from zram", err, unix.EINVAL)
	if err := s.replyData(req, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
	s.whileServing(t, func() error { return <-done })
	if err := s.data.Check(mem[at:end], 0); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(mem[:at], canary[:at]) || !bytes.Equal(mem[end:], canary[end:]) {
		t.Error("what lies beside the memory that was read to has changed")
	}
}
