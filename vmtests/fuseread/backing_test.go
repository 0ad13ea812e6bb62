package fuseread

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// onTheirWay is how many pages the kernel may still be about to put on its
// lists (PAGEVEC_SIZE); those have another user and cannot be moved.
const onTheirWay = 32

// TestBackingCache shows what a path does to the page cache of the file that
// it reads from. That file lies on a second FUSE mount: its pages are clean
// and belong to nobody else, as those of a disk are, so they can be moved.
func TestBackingCache(t *testing.T) {
	eachPath(t, func(t *testing.T, c config) {
		f := makeFile("f", 40, mib)
		below := start(t, config{Path: "copy", Valid: long, KeepCache: true}, f)
		low := below.open(f.Name)
		guest.Same(t, f.Of, readAll(t, low, mib), 0)
		if n := guest.ResidentPages(t, low); n != pages(f.Size) {
			t.Fatalf("%d pages of %d are in the backing file's cache", n, pages(f.Size))
		}
		c.Loopback = below.dir
		above := start(t, c)
		guest.Same(t, f.Of, readAll(t, above.open(f.Name), mib), 0)
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
	})
}

// TestErrorOfTheBackingFileReachesTheReader makes a path fail half-way, with
// a reply begun: nothing of it may be left for the next READ.
func TestErrorOfTheBackingFileReachesTheReader(t *testing.T) {
	eachPath(t, func(t *testing.T, c config) {
		f := makeFile("f", 41, 100<<10)
		below := start(t, config{Path: "copy", Valid: long}, f)
		c.Loopback = below.dir
		above := start(t, c)
		h := above.open(f.Name)
		below.order(order{Fail: unix.EIO})
		if n, err := h.ReadAt(make([]byte, 10000), 0); n != 0 || !errors.Is(err, unix.EIO) {
			t.Errorf("read of a failing file: %d bytes, %v; want EIO", n, err)
		}
		if s := above.stats(); s.Failed == 0 || s.ReadBytes != 0 {
			t.Errorf("counters %+v: want failed READs only", s)
		}
		below.order(order{Mend: true})
		guest.Same(t, f.Of, readAll(t, h, mib), 0)
	})
}
