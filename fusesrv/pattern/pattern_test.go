package pattern

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// read returns size bytes from off on.
func read(p Pattern, off int64, size int) []byte {
	b := make([]byte, size)
	_, _ = p.ReadAt(b, off)
	return b
}

func TestPiecesMakeTheWhole(t *testing.T) {
	t.Parallel()
	p := Pattern{Seed: 1, File: 2}
	const size = 5000
	whole := read(p, 0, size)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		off := rnd.IntN(size)
		n := rnd.IntN(size - off + 1)
		if got := read(p, int64(off), n); !bytes.Equal(got, whole[off:off+n]) {
			t.Fatalf("%d bytes at %d differ from the same of the whole", n, off)
		}
	}
}

// TestBytesNeverChange keeps the function what it is: recorded results and
// kernels under test depend on it.
func TestBytesNeverChange(t *testing.T) {
	t.Parallel()
	got := read(Pattern{Seed: 20190626, File: 3}, 1<<40+3, 8)
	want := []byte{0x35, 0x51, 0x54, 0xbd, 0x0a, 0x97, 0xed, 0x6e}
	if !bytes.Equal(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestPlacesDiffer(t *testing.T) {
	t.Parallel()
	base := read(Pattern{Seed: 1, File: 1}, 0, 4096)
	for name, other := range map[string][]byte{
		"another file": read(Pattern{Seed: 1, File: 2}, 0, 4096),
		"another seed": read(Pattern{Seed: 2, File: 1}, 0, 4096),
		"another page": read(Pattern{Seed: 1, File: 1}, 4096, 4096),
		"zeroes":       make([]byte, 4096),
	} {
		same := 0
		for i := range base {
			if base[i] == other[i] {
				same++
			}
		}
		if same > 4096/64 { // 1 in 256 is chance
			t.Errorf("%s: %d bytes of 4096 are alike", name, same)
		}
	}
}

func TestCheckNamesTheFirstWrongByte(t *testing.T) {
	t.Parallel()
	p := Pattern{Seed: 1, File: 7}
	b := read(p, 100, 50)
	if err := p.Check(b, 100); err != nil {
		t.Error(err)
	}
	b[3]++
	b[40]++
	err := p.Check(b, 100)
	if err == nil || !strings.Contains(err.Error(), "byte 103 of file 7") || !strings.Contains(err.Error(), "2 of 50 bytes") {
		t.Errorf("got %v", err)
	}
}
