package readtest

import (
	"bytes"
	"testing"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// poisonWord is what free memory is filled with. No generator makes it.
	poisonWord = "\xdeuninit"
	// poisoned is how much memory is, in bytes: more than a case reads into.
	poisoned = 16 << 20
	// freed is what a kernel with page_poison=1 fills free memory with
	// (PAGE_POISON in include/linux/poison.h), in place of what was there.
	freed = "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
)

// poison fills memory that is about to be free, so that pages which the
// kernel hands out next are known not to be zero.
func poison(t testing.TB) {
	t.Helper()
	guest.Poison(t, poisonWord, poisoned)
}

// same fails the test, and lets it go on, unless got is what belongs at off.
func same(t testing.TB, p pattern.Pattern, got []byte, off int64) {
	t.Helper()
	if err := p.Check(got, off); err != nil {
		t.Error(err)
		clean(t, got, off)
	}
}

// zero fails the test, and lets it go on, unless got holds zeroes alone; off
// is where it was read.
func zero(t testing.TB, got []byte, off int64) {
	t.Helper()
	for i, b := range got {
		if b != 0 {
			t.Errorf("byte %d is %#02x, want 0", off+int64(i), b)
			clean(t, got, off)
			return
		}
	}
}

// clean fails the test if got has memory that nobody has filled.
func clean(t testing.TB, got []byte, off int64) {
	t.Helper()
	for _, word := range []string{poisonWord, freed} {
		if i := bytes.Index(got, []byte(word)); i >= 0 {
			t.Errorf("byte %d begins uninitialised memory", off+int64(i))
		}
	}
}
