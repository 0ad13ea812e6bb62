// Package pattern makes bytes that tell where they belong.
//
// Byte i of file f is a function of (seed, f, i), so that contents can be
// checked without a second copy to compare with, and a byte that comes from
// another file, another offset or an old page is seen.
package pattern

import (
	"encoding/binary"
	"fmt"
)

const word = 8 // bytes made at once

// A Pattern is endless contents. It is a value and safe for concurrent use.
type Pattern struct {
	Seed uint64
	File uint64
}

// ReadAt fills b with the bytes from off on; it never fails and never ends.
// It implements io.ReaderAt; off must not be negative.
func (p Pattern) ReadAt(b []byte, off int64) (int, error) {
	i := 0
	for ; i < len(b) && (off+int64(i))%word != 0; i++ {
		b[i] = p.at(off + int64(i))
	}
	for ; len(b)-i >= word; i += word {
		binary.LittleEndian.PutUint64(b[i:], p.word(uint64(off+int64(i))/word))
	}
	for ; i < len(b); i++ {
		b[i] = p.at(off + int64(i))
	}
	return len(b), nil
}

// at returns the byte at off.
func (p Pattern) at(off int64) byte {
	return byte(p.word(uint64(off)/word) >> (8 * (uint64(off) % word)))
}

// word returns bytes i*8 to i*8+7, the first in the lowest bits. The mixer is
// the finalizer of SplitMix64, in which every input bit reaches every output
// bit.
func (p Pattern) word(i uint64) uint64 {
	x := i + p.Seed*0x9e3779b97f4a7c15 + p.File*0xd1342543de82ef95
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Check tells whether got is what belongs at off. Its error names the first
// byte that differs and how many follow.
func (p Pattern) Check(got []byte, off int64) error {
	want := make([]byte, len(got))
	_, _ = p.ReadAt(want, off) // never fails
	first, wrong := -1, 0
	for i := range got {
		if got[i] == want[i] {
			continue
		}
		if first < 0 {
			first = i
		}
		wrong++
	}
	if first < 0 {
		return nil
	}
	return fmt.Errorf("byte %d of file %d is %#02x, want %#02x (%d of %d bytes from %d are wrong)",
		off+int64(first), p.File, got[first], want[first], wrong, len(got), off)
}
