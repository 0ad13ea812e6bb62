package rsplice

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// largeFolios is a switch that only patches/linux-7.3-large-folios adds.
const largeFolios = "/sys/module/fuse/parameters/large_folios"

// largePages are so many that readahead comes to large folios.
const largePages = 256

func needLargeFolios(t *testing.T) {
	t.Helper()
	need(t)
	b, err := os.ReadFile(largeFolios)
	if err != nil || !bytes.HasPrefix(b, []byte("Y")) {
		t.Skip("FUSE has no large folios: it takes patches/linux-7.3-large-folios and fuse.large_folios=1")
	}
}

// Folios of several pages are filled like others. That they are such folios is
// told by /proc/kpageflags.
func TestLargeFoliosAreFilled(t *testing.T) {
	needLargeFolios(t)
	t.Run("whole", func(t *testing.T) { fillLargeFolios(t, (*server).answer) })
	t.Run("in pieces", func(t *testing.T) { fillLargeFolios(t, (*server).fillInPieces) })
}

func fillLargeFolios(t *testing.T, answer func(s *server, t *testing.T, req request)) {
	s := mountSize(t, keepCache, rsplice.InitFlag, largePages)
	r := s.read(t, 0, int(s.size))
	for left := int(s.size); left > 0; {
		req := s.next(t)
		answer(s, t, req)
		left -= req.size
	}
	r.gets(t, s, int(s.size))
	if n := s.compound(t); n == 0 {
		t.Error("no page of the file belongs to a large folio: nothing is tested")
	} else {
		t.Logf("%d of %d pages are parts of large folios", n, largePages)
	}
}

// A short reply zeroes the rest of a large folio, all of its pages.
func TestShortReplyInALargeFolio(t *testing.T) {
	needLargeFolios(t)
	shortReplyInAHole(t, largePages)
}

// compound counts the pages of the file, all of which are in the page cache, that
// belong to folios of several pages.
func (s *server) compound(t *testing.T) (n int) {
	t.Helper()
	// Documentation/admin-guide/mm/pagemap.rst
	const head, tail, frame = 1 << 15, 1 << 16, 1<<55 - 1
	mem := s.mapped(t)
	flags, err := os.Open("/proc/kpageflags")
	if err != nil {
		t.Fatal(err)
	}
	defer flags.Close()
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	var b [8]byte
	for at := 0; at < len(mem); at += guest.PageSize() {
		_ = mem[at:][0] // now it is mapped
		virtual := uintptr(unsafe.Pointer(&mem[at])) / uintptr(guest.PageSize())
		if _, err := pages.ReadAt(b[:], int64(virtual)*8); err != nil {
			t.Fatal(err)
		}
		if _, err := flags.ReadAt(b[:], int64(binary.NativeEndian.Uint64(b[:])&frame)*8); err != nil {
			t.Fatal(err)
		}
		if binary.NativeEndian.Uint64(b[:])&(head|tail) != 0 {
			n++
		}
	}
	return n
}

// mapped maps the file, and the pages it has in the cache.
func (s *server) mapped(t *testing.T) (mem []byte) {
	t.Helper()
	s.whileServing(t, func() error {
		fd, err := unix.Open(s.file(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		mem, err = unix.Mmap(fd, 0, int(s.size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
		return err
	})
	s.beforeUnmount = append(s.beforeUnmount, func() { _ = unix.Munmap(mem) })
	return mem
}
