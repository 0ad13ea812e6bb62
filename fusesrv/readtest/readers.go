package readtest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// readerCases are about readers other than read(2) and mmap(2), and about
// readers that go past the page cache.
func readerCases() []Case {
	return slices.Concat(
		about(everywhere(), false, map[string]func(t *testing.T, c config){
			"SplicedBytesAreExact":             splicedBytesAreExact,
			"SentBytesAreExact":                sentBytesAreExact,
			"ReadsOfODirectAreExact":           readsOfODirectAreExact,
			"TailOfTheLastPageIsZero":          tailOfTheLastPageIsZero,
			"ReadsBehindTheirBufferAreNotSeen": readsBehindTheirBufferAreNotSeen,
		}),
		about(everywhere(), true, map[string]func(t *testing.T, c config){
			"ReadsPastTheCacheAreExact":            readsPastTheCacheAreExact,
			"MappedAndSplicedPastTheCacheAreExact": mappedAndSplicedPastTheCacheAreExact,
			"SplicedFromODirectIsExact":            splicedFromODirectIsExact,
		}),
		about(onFiles(), true, map[string]func(t *testing.T, c config){
			"CallsAreCounted": callsAreCounted,
		}),
		about(onFiles(), false, map[string]func(t *testing.T, c config){
			"CopiedRangesAreExact": copiedRangesAreExact,
		}))
}

// target is a file of tmpfs to write to.
func target(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "target"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// has checks that a file holds all of f.
func has(t *testing.T, got *os.File, f file) {
	t.Helper()
	b := readAll(t, got, mib)
	if int64(len(b)) != f.Size {
		t.Errorf("%d bytes came through, want %d", len(b), f.Size)
	}
	same(t, f.Of, b, 0)
}

func splicedBytesAreExact(t *testing.T, c config) {
	f := makeFile("f", 100, 300<<10+77)
	m := start(t, c, f)
	has(t, spliced(t, m.open(f.Name)), f)
	m.askedFor(f.Size)
}

// spliced is a file to which all of h has gone through a pipe.
func spliced(t *testing.T, h *os.File) *os.File {
	t.Helper()
	to := target(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(pipe[0]); unix.Close(pipe[1]) }()
	within(t, "splice", func() {
		for {
			n, err := unix.Splice(int(h.Fd()), nil, pipe[1], nil, 64<<10, 0)
			if err != nil || n == 0 {
				if err != nil {
					t.Errorf("splice to a pipe: %v", err)
				}
				return
			}
			if _, err := unix.Splice(pipe[0], nil, int(to.Fd()), nil, int(n), 0); err != nil {
				t.Errorf("splice to a file: %v", err)
				return
			}
		}
	})
	return to
}

func sentBytesAreExact(t *testing.T, c config) {
	f := makeFile("f", 101, 300<<10+77)
	m := start(t, c, f)
	has(t, sent(t, m.open(f.Name)), f)
	m.askedFor(f.Size)
}

// sent is a file to which all of h was sent.
func sent(t *testing.T, h *os.File) *os.File {
	t.Helper()
	to := target(t)
	within(t, "sendfile", func() {
		for {
			n, err := unix.Sendfile(int(to.Fd()), int(h.Fd()), nil, 100_000)
			if err != nil {
				t.Errorf("sendfile: %v", err)
			}
			if err != nil || n == 0 {
				return
			}
		}
	})
	return to
}

// mappedAndSplicedPastTheCacheAreExact reads files of FOPEN_DIRECT_IO by splice(2),
// by sendfile(2) and by a private mapping, for which the kernel uses the cache after
// all.
func mappedAndSplicedPastTheCacheAreExact(t *testing.T, c config) {
	c.DirectIO = true
	f := makeFile("f", 107, 300<<10+77)
	m := start(t, c, f)
	has(t, spliced(t, m.open(f.Name)), f)
	has(t, sent(t, m.open(f.Name)), f)
	mem := mapFile(t, m.open(f.Name), f.Size, unix.PROT_READ, unix.MAP_PRIVATE)
	same(t, f.Of, mem, 0)
	m.askedFor(f.Size)
}

// splicedFromODirectIsExact opens with O_DIRECT for splice(2) and sendfile(2), which
// have the kernel read to pages of its own (copy_splice_read() in fs/splice.c): those
// are not rsplice(2)'s to fill.
func splicedFromODirectIsExact(t *testing.T, c config) {
	c.fallsBack = strings.HasPrefix(c.Path, "rsplice-")
	f := makeFile("f", 108, 300<<10+77)
	m := start(t, c, f)
	has(t, spliced(t, m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT)), f)
	has(t, sent(t, m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT)), f)
	m.delivered(0, 2*f.Size)
}

// copiedRangesAreExact copies to another mount of the same kind, which the
// kernel does page by page, and within one, which the server does.
func copiedRangesAreExact(t *testing.T, c config) {
	f := makeFile("f", 102, 300<<10+77)
	m := start(t, c, f)
	c.Loopback = t.TempDir()
	other := start(t, c, makeFile("other", 103, 10))
	h := m.open(f.Name)
	for name, to := range map[string]*os.File{
		"another mount": other.openFlags("other", os.O_RDWR),
		"the same":      openNew(t, filepath.Join(m.dir, "copy")),
	} {
		t.Log(name)
		var from, at int64
		within(t, "copy_file_range", func() {
			for {
				n, err := unix.CopyFileRange(int(h.Fd()), &from, int(to.Fd()), &at, mib, 0)
				if err != nil {
					t.Errorf("copy_file_range to %s: %v", name, err)
				}
				if err != nil || n == 0 {
					return
				}
			}
		})
		has(t, to, f)
	}
	m.askedFor(f.Size)
}

func openNew(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// alignedMemory returns size bytes that start on a page.
func alignedMemory(t *testing.T, size int) []byte {
	t.Helper()
	page := guest.PageSize()
	room := make([]byte, size+page)
	return room[-uintptr(unsafe.Pointer(&room[0]))%uintptr(page):][:size:size]
}

// canary is what surrounds the memory that is read to.
const canary = 0xc5

// readInto reads into the middle of memory at some distance from the start of
// a page, checks what is around it, and returns what was read.
func readInto(t *testing.T, h *os.File, off int64, size, distance int) []byte {
	t.Helper()
	page := guest.PageSize()
	mem := alignedMemory(t, (size+distance+2*page)/page*page)
	for i := range mem {
		mem[i] = canary
	}
	n, err := h.ReadAt(mem[distance:distance+size], off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("read of %d bytes at %d: %v", size, off, err)
	}
	for _, around := range [][]byte{mem[:distance], mem[distance+size:]} {
		for _, b := range around {
			if b != canary {
				t.Errorf("read of %d bytes at %d wrote %#02x beside its buffer", size, off, b)
				break
			}
		}
	}
	return mem[distance : distance+n]
}

// readsOfODirectAreExact opens with O_DIRECT.
func readsOfODirectAreExact(t *testing.T, c config) {
	f := makeFile("f", 104, 2*mib+4096+100)
	m := start(t, c, f)
	h := m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT)
	page := guest.PageSize()
	var total int64
	for _, x := range []struct {
		off  int64
		size int
	}{{0, page}, {int64(page), 10 * page}, {0, 128 << 10}, {mib, mib}, {0, 2*mib + 2*page}, {2 * mib, 4 * page}} {
		got := readInto(t, h, x.off, x.size, 0)
		if want := min(int64(x.size), f.Size-x.off); int64(len(got)) != want {
			t.Errorf("read of %d bytes at %d: %d, want %d", x.size, x.off, len(got), want)
		}
		same(t, f.Of, got, x.off)
		total += int64(len(got))
	}
	m.askedFor(total)
}

// readsPastTheCacheAreExact mounts with FOPEN_DIRECT_IO: every read(2) is a
// READ into the reader's memory, of any size and alignment.
func readsPastTheCacheAreExact(t *testing.T, c config) {
	c.DirectIO = true
	f := makeFile("f", 105, mib+5000)
	m := start(t, c, f)
	h := m.open(f.Name)
	var total int64
	for _, x := range []struct {
		off            int64
		size, distance int
	}{
		{0, 0, 0}, {0, 1, 0}, {4095, 2, 7}, {0, 4096, 0}, {1, 4096, 1}, {4096, 4097, 4095}, {123, 128<<10 - 1, 3},
		{0, 128<<10 + 1, 0}, {7, mib, 5}, {f.Size - 10, 5000, 100}, {f.Size, 10, 0}, {f.Size + 4096, 4096, 0},
	} {
		got := readInto(t, h, x.off, x.size, x.distance)
		if want := max(0, min(int64(x.size), f.Size-x.off)); int64(len(got)) != want {
			t.Errorf("read of %d bytes at %d: %d, want %d", x.size, x.off, len(got), want)
		}
		same(t, f.Of, got, x.off)
		total += int64(len(got))
	}
	m.delivered(0, total)
	guest.Since(t, guest.Release{Major: 6, Minor: 5}, "cachestat(2)")
	if st, err := guest.Cachestat(h, 0, 0); err != nil || st.Cache != 0 {
		t.Errorf("reads past the cache left %d pages in it, %v", st.Cache, err)
	}
}

// tailOfTheLastPageIsZero looks at what a mapping shows behind the end.
func tailOfTheLastPageIsZero(t *testing.T, c config) {
	var all []file
	for i, size := range edges() {
		if size%int64(guest.PageSize()) != 0 {
			all = append(all, makeFile("f"+string(rune('a'+i)), uint64(110+i), size))
		}
	}
	m := start(t, c, all...)
	for _, f := range all {
		h := m.open(f.Name)
		same(t, f.Of, readAll(t, h, mib), 0)
		mem := mapFile(t, h, int64(pages(f.Size)*guest.PageSize()), unix.PROT_READ, unix.MAP_SHARED)
		zero(t, mem[f.Size:], f.Size)
	}
}

// readsBehindTheirBufferAreNotSeen reads pieces of a page that is not cached.
func readsBehindTheirBufferAreNotSeen(t *testing.T, c config) {
	f := makeFile("f", 106, 64<<10)
	m := start(t, c, f)
	h := m.open(f.Name)
	for off := int64(1000); off < f.Size-5000; off += 7777 {
		same(t, f.Of, readInto(t, h, off, 4321, 33), off)
		guest.Evict(t, h)
	}
}
