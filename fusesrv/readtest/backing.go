package readtest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// onTheirWay is how many pages the kernel may still be about to put on its
// lists (PAGEVEC_SIZE); those have another user and cannot be moved.
const onTheirWay = 32

// sourceCases are about what bytes are read from.
func sourceCases() []Case {
	return slices.Concat(
		about(onFiles(), false, map[string]func(t *testing.T, c config){
			"BackingCacheIsKeptUnlessMoved":         backingCache,
			"ErrorOfTheBackingFileReachesTheReader": errorOfTheBackingFileReachesTheReader,
			"DiskIsASource":                         diskIsASource,
			"HolesOfADiskReadAsZeroes":              holesOfADiskReadAsZeroes,
		}),
		about(onFiles(), true, map[string]func(t *testing.T, c config){
			"DiskReadDirectlyIsASource":   diskReadDirectlyIsASource,
			"UnfitSourceIsCopied":         unfitSourceIsCopied,
			"BlockDeviceIsASource":        blockDeviceIsASource,
			"UnalignedDirectReadIsCopied": unalignedDirectReadIsCopied,
			"ReadersMemoryMayLieAnywhere": readersMemoryMayLieAnywhere,
		}))
}

// backingCache shows what a path does to the page cache of the file that
// it reads from. That file lies on a second FUSE mount: its pages are clean
// and belong to nobody else, as those of a disk are, so they can be moved.
func backingCache(t *testing.T, c config) {
	f := makeFile("f", 40, mib)
	below := start(t, config{Path: "copy", Valid: long, KeepCache: true}, f)
	low := below.open(f.Name)
	same(t, f.Of, readAll(t, low, mib), 0)
	if n := guest.ResidentPages(t, low); n != pages(f.Size) {
		t.Fatalf("%d pages of %d are in the backing file's cache", n, pages(f.Size))
	}
	c.Loopback = below.dir
	above := start(t, c)
	same(t, f.Of, readAll(t, above.open(f.Name), mib), 0)
	left, all := guest.ResidentPages(t, low), pages(f.Size)
	t.Logf("%d pages of %d are left in the backing file's cache", left, all)
	switch gone := all - left; {
	case c.Path == "splice-move" && gone < all-onTheirWay:
		t.Errorf("%d pages of %d were moved, want all but %d", gone, all, onTheirWay)
	case c.Path != "splice-move" && gone != 0:
		t.Errorf("%d pages of %d are gone", gone, all)
	}
	if s := below.stats(); s.ReadBytes != uint64(f.Size) {
		t.Errorf("the backing file was read for %d bytes, want %d once", s.ReadBytes, f.Size)
	}
}

// errorOfTheBackingFileReachesTheReader makes a path fail half-way, with
// a reply begun: nothing of it may be left for the next READ.
func errorOfTheBackingFileReachesTheReader(t *testing.T, c config) {
	f := makeFile("f", 41, 100<<10)
	below := start(t, config{Path: "copy", Valid: long}, f)
	c.Loopback = below.dir
	above := start(t, c)
	h := above.open(f.Name)
	below.order(order{Fail: unix.EIO})
	if n, err := h.ReadAt(make([]byte, 10000), 0); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("read of a failing file: %d bytes, %v; want EIO", n, err)
	}
	if s := above.stats(); !c.inKernel && (s.Failed == 0 || s.ReadBytes != 0) {
		t.Errorf("counters %+v: want failed READs only", s)
	}
	below.order(order{Mend: true})
	same(t, f.Of, readAll(t, h, mib), 0)
}

// ext4LargeFolios is the first kernel whose ext4 has large folios, which are not
// moved: fuse_try_move_folio() in fs/fuse/dev.c.
var ext4LargeFolios = guest.Release{Major: 6, Minor: 16}

// diskIsASource reads files of ext4 through its page cache, and shows what of
// that cache is left.
func diskIsASource(t *testing.T, c config) {
	disk := Ext4(t)
	c.Loopback = disk.Dir
	var all []file
	for i, size := range edges() {
		all = append(all, makeFile(disk.name(size), uint64(50+i), size))
	}
	m := start(t, c, all...)
	kernel, err := guest.Running()
	if err != nil {
		t.Fatal(err)
	}
	movable := kernel.Before(ext4LargeFolios)
	unix.Sync() // dirty pages cannot be moved
	for _, f := range all {
		low := openFile(t, filepath.Join(disk.Dir, f.Name))
		before := guest.ResidentPages(t, low)
		same(t, f.Of, readAll(t, m.open(f.Name), mib), 0)
		left := guest.ResidentPages(t, low)
		switch gone := before - left; {
		case c.Path == "splice-move" && f.Size >= mib && (gone >= before/2) != movable:
			t.Errorf("file of %d bytes: %d pages of %d were moved; want most: %v", f.Size, gone, before, movable)
		case c.Path != "splice-move" && gone != 0:
			t.Errorf("file of %d bytes: %d pages of %d are gone from the disk's cache", f.Size, gone, before)
		}
	}
}

// diskReadDirectlyIsASource has the server open files with O_DIRECT: the
// bytes come from the disk, and leave no page in its cache. Readers with O_DIRECT
// get them in their own memory, and beside it nothing changes.
func diskReadDirectlyIsASource(t *testing.T, c config) {
	disk := Ext4(t)
	c.Loopback, c.DirectSource = disk.Dir, true
	var all []file
	for i, size := range edges() {
		all = append(all, makeFile(disk.name(size), uint64(70+i), size))
	}
	m := start(t, c, all...)
	unix.Sync()
	guest.DropCaches(t)
	for _, f := range all {
		low := openFile(t, filepath.Join(disk.Dir, f.Name))
		h := m.open(f.Name)
		same(t, f.Of, readAll(t, h, mib), 0)
		if f.Size > 0 {
			mem := mapFile(t, h, int64(pages(f.Size)*guest.PageSize()), unix.PROT_READ, unix.MAP_SHARED)
			zero(t, mem[f.Size:], f.Size) // what the disk has behind the end
		}
		past := m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT)
		got := readInto(t, past, 0, (pages(f.Size)+1)*guest.PageSize(), 0)
		if int64(len(got)) != f.Size {
			t.Errorf("file of %d bytes: read %d past the cache", f.Size, len(got))
		}
		same(t, f.Of, got, 0)
		if n := guest.ResidentPages(t, low); n != 0 {
			t.Errorf("file of %d bytes: %d pages are in the disk's cache", f.Size, n)
		}
	}
}

// readersMemoryMayLieAnywhere asks, past both caches, for whole blocks in memory
// that lies otherwise in its pages than they do in the file. rsplice(2) takes no
// such memory from O_DIRECT, and no path may write beside it.
func readersMemoryMayLieAnywhere(t *testing.T, c config) {
	for _, distance := range []int{512, 1} {
		t.Run(strconv.Itoa(distance), func(t *testing.T) {
			c := c
			c.Loopback, c.DirectSource, c.DirectIO = Ext4(t).Dir, true, true
			c.fallsBack = strings.HasPrefix(c.Path, "rsplice-") || c.Path == zeroCopy && distance%512 != 0
			f := makeFile("f", 93, 100<<10)
			m := start(t, c, f)
			unix.Sync()
			h := m.open(f.Name)
			for _, size := range []int{guest.PageSize(), 64 << 10} {
				got := readInto(t, h, int64(guest.PageSize()), size, distance)
				if len(got) != size {
					t.Errorf("read %d bytes of %d", len(got), size)
				}
				same(t, f.Of, got, int64(guest.PageSize()))
			}
		})
	}
}

// holesOfADiskReadAsZeroes reads a file of ext4 with a hole in it and an end that
// has blocks and was never written, by way of its cache and past it. Zeroes are not
// read from anywhere: who forgets to write them shows what was in memory.
func holesOfADiskReadAsZeroes(t *testing.T, c config) {
	const from, to, end, size = 64 << 10, 192 << 10, 512 << 10, 768 << 10
	for name, direct := range map[string]bool{"buffered": false, "O_DIRECT": true} {
		if direct && c.inKernel {
			continue // it is for the reader to say
		}
		t.Run(name, func(t *testing.T) {
			c := c
			c.Loopback, c.DirectSource = Ext4(t).Dir, direct
			f := makeFile("f", 94, size)
			m := start(t, c, f)
			unix.Sync()
			behind := openNew(t, filepath.Join(m.backing, f.Name))
			for _, x := range []struct {
				mode      uint32
				off, size int64
			}{{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, from, to - from},
				{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, end, size - end}, {0, end, size - end}} {
				if err := unix.Fallocate(int(behind.Fd()), x.mode, x.off, x.size); err != nil {
					t.Fatal(err)
				}
			}
			unix.Sync()
			guest.DropCaches(t)
			for flags, got := range map[int][]byte{
				0:             readAll(t, m.open(f.Name), mib),
				unix.O_DIRECT: readInto(t, m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT), 0, size, 0),
			} {
				if len(got) != size {
					t.Fatalf("open flags %#x: read %d bytes of %d", flags, len(got), size)
				}
				same(t, f.Of, got[:from], 0)
				zero(t, got[from:to], from)
				same(t, f.Of, got[to:end], to)
				zero(t, got[end:], end)
			}
		})
	}
}

// blockDeviceIsASource reads a whole device through a file that is made of it.
func blockDeviceIsASource(t *testing.T, c config) {
	const size = 2*mib + 4096
	f := makeFile("f", 90, size)
	image := filepath.Join(t.TempDir(), "image")
	writeFile(t, image, f)
	c.Loopback, c.Device = "", guest.LoopDevice(t, image)
	m := start(t, c, f)
	h := m.open(f.Name)
	same(t, f.Of, readAll(t, h, mib), 0)
	same(t, f.Of, readAt(t, h, 12345, 300000), 12345)
}

// unfitSourceIsCopied reads, past the page cache, what another FUSE server
// has: that server could write into the reader's memory when it likes, so the
// kernel refuses it as a source for rsplice(2). Splice does not mind.
func unfitSourceIsCopied(t *testing.T, c config) {
	f := makeFile("f", 91, 100<<10)
	below := start(t, config{Path: "copy", Valid: long}, f)
	c.Loopback, c.DirectIO = below.dir, true
	c.fallsBack = strings.HasPrefix(c.Path, "rsplice")
	above := start(t, c)
	h := above.open(f.Name)
	const part = 1000 // what each READ leaves behind in a server's pipe must not fill it
	for off := int64(0); off < f.Size; off += part {
		same(t, f.Of, readAt(t, h, off, int(min(part, f.Size-off))), off)
	}
	above.delivered(0, f.Size)
}

// unalignedDirectReadIsCopied asks, past both caches, for bytes that are no
// whole blocks: all paths that do not copy anyway must do so.
func unalignedDirectReadIsCopied(t *testing.T, c config) {
	disk := Ext4(t)
	c.Loopback, c.DirectSource, c.DirectIO = disk.Dir, true, true
	c.fallsBack = c.Path != "copy" && c.Path != "io_uring"
	f := makeFile("f", 92, 100<<10+10)
	m := start(t, c, f)
	unix.Sync()
	h := m.open(f.Name)
	for _, x := range []struct {
		off  int64
		size int
	}{{1, 4096}, {0, 511}, {4095, 2}, {50000, 50000}, {f.Size - 5, 5}} {
		same(t, f.Of, readAt(t, h, x.off, x.size), x.off)
	}
}

// openFile opens name until the test ends.
func openFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
