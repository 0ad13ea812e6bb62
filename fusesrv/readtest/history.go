package readtest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/runvm/runvm/fusesrv/pattern"
)

// sector is the unit in which the bytes of a file that changes are told apart.
const sector = 512

// A history tells which contents the sectors of a file may have. They change over
// and over, each to contents of its next generation; whose first are the file's own.
type history struct {
	of    pattern.Pattern
	holes bool           // while they change they may be zeroes as well
	least []atomic.Int64 // generation that every read which begins now must find, or a later one
	most  []atomic.Int64 // generation that has been written or is being
}

// newHistory is that of f before any change. The size of f is a number of sectors.
func newHistory(f file, holes bool) *history {
	n := f.Size / sector
	return &history{of: f.Of, holes: holes, least: make([]atomic.Int64, n), most: make([]atomic.Int64, n)}
}

// somewhere chooses at least one sector, and at most so many bytes.
func (h *history) somewhere(rnd *rand.Rand, most int64) (from, to int64) {
	n := int64(len(h.least))
	first := rnd.Int64N(n)
	return first * sector, (first + 1 + rnd.Int64N(min(n-first, most/sector))) * sector
}

// change gives the bytes of the next generation from one sector to another, which
// readers may find from now on.
func (h *history) change(from, to int64) []byte {
	b := make([]byte, to-from)
	for i := from / sector; i < to/sector; i++ {
		h.fill(b[i*sector-from:][:sector], i, h.most[i].Add(1))
	}
	return b
}

// changed says that readers must find what change gave.
func (h *history) changed(from, to int64) {
	for i := from / sector; i < to/sector; i++ {
		h.least[i].Store(h.most[i].Load())
	}
}

// fill puts the bytes that a sector has in a generation into b.
func (h *history) fill(b []byte, i, generation int64) {
	of := h.of
	of.Seed += uint64(generation)
	_, _ = of.ReadAt(b, i*sector) // never fails
}

// A moment is what readers had to find at some time.
type moment []int64

// now is what a read of size bytes must find that is about to begin.
func (h *history) now(off, size int64) moment {
	var m moment
	for i := off / sector; i*sector < off+size && i < int64(len(h.least)); i++ {
		m = append(m, h.least[i].Load())
	}
	return m
}

// check tells whether got, from off on, was there between m and now.
func (h *history) check(got []byte, off int64, m moment) error {
	for first := off / sector; len(got) > 0; {
		i := off / sector
		n := min(int64(len(got)), (i+1)*sector-off)
		if err := h.checkSector(got[:n], off, m[i-first], h.most[i].Load()); err != nil {
			return err
		}
		got, off = got[n:], off+n
	}
	return nil
}

// checkSector tells whether every byte of got, which are in one sector, is of one
// of these generations: a read may find bytes of several that is not alone.
func (h *history) checkSector(got []byte, off, least, most int64) error {
	right := make([]bool, len(got))
	zero := h.holes && least < most
	var want [sector]byte
	for generation := least; generation <= most; generation++ {
		h.fill(want[:], off/sector, generation)
		for j, b := range got {
			right[j] = right[j] || b == want[off%sector+int64(j)] || b == 0 && zero
		}
	}
	for j, is := range right {
		if !is {
			return fmt.Errorf("byte %d is %#02x, want that of generation %d to %d (%s)",
				off+int64(j), got[j], least, most, h.explain(got, off, most))
		}
	}
	return nil
}

// explain says what bytes are that are not of the generations wanted.
func (h *history) explain(got []byte, off, most int64) string {
	var want [sector]byte
	for generation := range most {
		h.fill(want[:], off/sector, generation)
		if string(got) == string(want[off%sector:][:len(got)]) {
			return fmt.Sprintf("all %d bytes are of generation %d", len(got), generation)
		}
	}
	return "of no generation as a whole"
}
