package readtest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// pages is how many pages size bytes take.
func pages(size int64) int {
	page := int64(guest.PageSize())
	return int((size + page - 1) / page)
}

// cacheCases are about what the page cache keeps.
func cacheCases() []Case {
	return slices.Concat(
		about(everywhere(), true, map[string]func(t *testing.T, c config){
			"SecondReadAsksNothing":        secondReadAsksNothing,
			"CachestatCountsWhatWasRead":   cachestatCountsWhatWasRead,
			"OpenDropsTheCacheUnlessKept":  openDropsTheCacheUnlessKept,
			"DroppedCachesAreReadAgain":    droppedCachesAreReadAgain,
			"OnlyMissingPagesAreReadAgain": onlyMissingPagesAreReadAgain,
			"DirectReadsLeaveNoPages":      directReadsLeaveNoPages,
		}),
		about(everywhere(), false, map[string]func(t *testing.T, c config){
			"TwoFilesDoNotMix": twoFilesDoNotMix,
		}),
		about(onFiles(), false, map[string]func(t *testing.T, c config){
			"ChangedFileIsReadAgain": changedFileIsReadAgain,
		}))
}

func secondReadAsksNothing(t *testing.T, c config) {
	f := makeFile("f", 10, 500<<10+1)
	m := start(t, c, f)
	h := m.open(f.Name)
	if n := guest.ResidentPages(t, h); n != 0 {
		t.Fatalf("%d pages are cached before the first read", n)
	}
	same(t, f.Of, readAll(t, h, mib), 0)
	if n := guest.ResidentPages(t, h); n != pages(f.Size) {
		t.Errorf("%d pages of %d are cached after the first read", n, pages(f.Size))
	}
	before := m.stats() // after ResidentPages, which asks for the file's size
	if before.Reads == 0 || before.ReadBytes != uint64(f.Size) {
		t.Errorf("first read: the server delivered %d bytes in %d READs, want %d bytes",
			before.ReadBytes, before.Reads, f.Size)
	}
	if before.Requests <= before.Reads {
		t.Errorf("the server counts %d requests, %d of them READs: not all are counted", before.Requests, before.Reads)
	}
	same(t, f.Of, readAll(t, h, 5000), 0)
	same(t, f.Of, mapFile(t, h, f.Size, unix.PROT_READ, unix.MAP_SHARED), 0)
	if after := m.stats(); after != before {
		t.Errorf("second read: counters went from %+v to %+v", before, after)
	}
}

func cachestatCountsWhatWasRead(t *testing.T, c config) {
	guest.Since(t, guest.Release{Major: 6, Minor: 5}, "cachestat(2)")
	f := makeFile("f", 11, 300<<10+1)
	m := start(t, c, f)
	h := m.open(f.Name)
	for _, want := range []uint64{0, uint64(pages(f.Size))} {
		st, err := guest.Cachestat(h, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if st.Cache != want || st.Dirty != 0 || st.Writeback != 0 {
			t.Errorf("cachestat says %+v, want %d clean pages", st, want)
		}
		same(t, f.Of, readAll(t, h, mib), 0)
	}
	if got, want := m.stats().ReadBytes, uint64(f.Size); got != want {
		t.Errorf("the server delivered %d bytes to two reads, want %d", got, want)
	}
}

func openDropsTheCacheUnlessKept(t *testing.T, c config) {
	for _, c.KeepCache = range []bool{false, true} {
		f := makeFile("f", 12, 300<<10)
		m := start(t, c, f)
		h := m.open(f.Name)
		same(t, f.Of, readAll(t, h, mib), 0)
		before := m.stats()
		again := m.open(f.Name)
		same(t, f.Of, readAll(t, again, mib), 0)
		after := m.stats()
		if after.Requests == before.Requests {
			t.Error("the server saw no OPEN")
		}
		if asked := after.Reads != before.Reads; asked == c.KeepCache {
			t.Errorf("keep cache %v: READs went from %d to %d", c.KeepCache, before.Reads, after.Reads)
		}
		_, _ = h.Close(), again.Close() // open files would keep the next mount's directory busy
	}
}

func droppedCachesAreReadAgain(t *testing.T, c config) {
	drop := map[string]func(t *testing.T, h *os.File){
		"drop_caches": func(t *testing.T, _ *os.File) { guest.DropCaches(t) },
		"fadvise":     func(t *testing.T, h *os.File) { guest.Evict(t, h) },
	}
	f := makeFile("f", 13, 300<<10)
	m := start(t, c, f)
	h := m.open(f.Name)
	for name, drop := range drop {
		same(t, f.Of, readAll(t, h, mib), 0)
		before := m.stats().ReadBytes
		drop(t, h)
		if n := guest.ResidentPages(t, h); n != 0 {
			t.Errorf("%s left %d pages", name, n)
		}
		same(t, f.Of, readAll(t, h, mib), 0)
		if again := m.stats().ReadBytes - before; again != uint64(f.Size) {
			t.Errorf("after %s the server delivered %d bytes, want %d", name, again, f.Size)
		}
	}
}

func onlyMissingPagesAreReadAgain(t *testing.T, c config) {
	f := makeFile("f", 14, 500<<10)
	m := start(t, c, f)
	h := m.open(f.Name)
	same(t, f.Of, readAll(t, h, mib), 0)
	before := m.stats().ReadBytes
	page := int64(guest.PageSize())
	hole, size := 100*page, 3*page
	if err := unix.Fadvise(int(h.Fd()), hole, size, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	for i, in := range guest.Resident(t, h) {
		if out := int64(i)*page >= hole && int64(i)*page < hole+size; in == out {
			t.Fatalf("page %d: cached %v", i, in)
		}
	}
	same(t, f.Of, readAll(t, h, mib), 0)
	if again := int64(m.stats().ReadBytes - before); again != size {
		t.Errorf("the server delivered %d bytes again, %d were missing", again, size)
	}
}

func directReadsLeaveNoPages(t *testing.T, c config) {
	f := makeFile("f", 15, 100<<10)
	m := start(t, c, f)
	h := m.openFlags(f.Name, os.O_RDONLY|unix.O_DIRECT)
	page := guest.PageSize()
	room := make([]byte, 9*page)
	skip := page - int(uintptr(unsafe.Pointer(&room[0]))%uintptr(page))
	b := room[skip : skip+8*page]
	for turn := uint64(1); turn <= 2; turn++ {
		off := int64(3 * page)
		if _, err := h.ReadAt(b, off); err != nil {
			t.Fatal(err)
		}
		same(t, f.Of, b, off)
		if got, want := m.stats().ReadBytes, turn*uint64(len(b)); got != want {
			t.Errorf("read %d: the server delivered %d bytes, want %d", turn, got, want)
		}
	}
	if n := guest.ResidentPages(t, h); n != 0 {
		t.Errorf("direct reads left %d pages in the cache", n)
	}
}

func changedFileIsReadAgain(t *testing.T, c config) {
	c.Valid, c.KeepCache = 0, true // ask for the times at each read
	old, changed := makeFile("f", 16, 300<<10), makeFile("f", 17, 300<<10)
	m := start(t, c, old)
	h := m.open(old.Name)
	same(t, old.Of, readAll(t, h, mib), 0)
	behind := filepath.Join(m.backing, old.Name)
	writeFile(t, behind, changed)
	later := time.Now().Add(time.Hour) // whatever the clock's granularity
	if err := os.Chtimes(behind, later, later); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, h, mib)
	if old.Of.Check(got, 0) == nil {
		t.Fatal("the old bytes are still there")
	}
	same(t, changed.Of, got, 0)
}

func twoFilesDoNotMix(t *testing.T, c config) {
	a, b := makeFile("a", 18, 64<<10), makeFile("b", 19, 64<<10)
	m := start(t, c, a, b)
	ha, hb := m.open(a.Name), m.open(b.Name)
	page := guest.PageSize()
	for off := int64(0); off < a.Size; off += int64(page) {
		same(t, a.Of, readAt(t, ha, off, page), off)
		same(t, b.Of, readAt(t, hb, off, page), off)
	}
	if bytes.Equal(readAll(t, ha, mib), readAll(t, hb, mib)) {
		t.Error("two files are alike")
	}
}
