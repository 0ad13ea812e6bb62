package symbol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/google/renameio/v2"
)

// The file of an index: a magic with the version of what follows, the
// identity of the file it is of, the numbers of things, the things as arrays
// of numbers, the names, and a checksum over all of it.
const (
	magic     = "runvm index 1\n\x00\x00"
	maxIndex  = 256 << 20 // bytes
	headSize  = len(magic) + 2*8 + 5*8
	sumSize   = 4
	symbolLen = 8 + 8 + 8 + 4 // address, span, size, length of the name
	nameLen   = 4
	unitLen   = 8 + 8
	partLen   = 8 + 8 + 4
)

func checksum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// writeIndex keeps x in the file path, unless that is "".
func writeIndex(path string, id identity, x *index) error {
	data := x.encode(id)
	if path == "" || len(data) > maxIndex {
		return nil
	}
	return renameio.WriteFile(path, data, 0o644)
}

// readIndex returns the index in the file path if it is whole and of the file
// with the given identity, else nil.
func readIndex(path string, id identity) *index {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxIndex {
		return nil
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil
	}
	x, of, err := decodeIndex(data)
	if err != nil || of != id {
		return nil
	}
	return x
}

func (x *index) encode(id identity) []byte {
	var b bytes.Buffer
	var names bytes.Buffer
	put := func(numbers ...uint64) {
		for _, n := range numbers {
			b.Write(binary.LittleEndian.AppendUint64(nil, n))
		}
	}
	put32 := func(n uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, n)) }
	b.WriteString(magic)
	crossing := uint64(0)
	if x.crossing {
		crossing = 1
	}
	put(uint64(id.size), uint64(id.modified), crossing)
	put(uint64(len(x.symbols)), uint64(len(x.names)), uint64(len(x.units)), uint64(len(x.parts)))
	for _, s := range x.symbols {
		put(s.addr, s.span, s.size)
		put32(uint32(len(s.name)))
		names.WriteString(s.name)
	}
	for _, n := range x.names {
		put32(n)
	}
	for _, u := range x.units {
		put(u.offset, u.size)
	}
	for _, p := range x.parts {
		put(p.low, p.high)
		put32(p.unit)
	}
	b.Write(names.Bytes())
	put32(checksum(b.Bytes()))
	return b.Bytes()
}

// decodeIndex reads what encode wrote. Nothing in data is trusted: an index
// that decodes can be searched, whatever it says.
func decodeIndex(data []byte) (*index, identity, error) {
	bad := fmt.Errorf("%w: index", ErrDamaged)
	if len(data) < headSize+sumSize || string(data[:len(magic)]) != magic {
		return nil, identity{}, bad
	}
	body := data[:len(data)-sumSize]
	if checksum(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return nil, identity{}, bad
	}
	r := &numbers{body[len(magic):]}
	id := identity{int64(r.next()), int64(r.next())}
	x := &index{crossing: r.next() == 1}
	symbols, names, units, parts := r.next(), r.next(), r.next(), r.next()
	room := uint64(len(r.rest))
	for _, n := range []uint64{symbols, names, units, parts} {
		if n > room { // so that the sum below does not overflow
			return nil, identity{}, bad
		}
	}
	fixed := symbols*uint64(symbolLen) + names*uint64(nameLen) + units*uint64(unitLen) + parts*uint64(partLen)
	if fixed > room || names != symbols {
		return nil, identity{}, bad
	}
	text := string(r.rest[fixed:])
	x.symbols = make([]symbol, symbols)
	for i := range x.symbols {
		s := symbol{addr: r.next(), span: r.next(), size: r.next()}
		n := r.next32()
		if uint64(n) > uint64(len(text)) {
			return nil, identity{}, bad
		}
		s.name, text = text[:n], text[n:]
		x.symbols[i] = s
	}
	if !x.decodeRest(r, names, units, parts) || text != "" {
		return nil, identity{}, bad
	}
	return x, id, nil
}

// decodeRest reads what follows the symbols, and says whether every number
// that refers to something does.
func (x *index) decodeRest(r *numbers, names, units, parts uint64) bool {
	x.names = make([]uint32, names)
	for i := range x.names {
		if x.names[i] = r.next32(); uint64(x.names[i]) >= uint64(len(x.symbols)) {
			return false
		}
	}
	x.units = make([]span, units)
	for i := range x.units {
		x.units[i] = span{r.next(), r.next()}
	}
	x.parts = make([]part, parts)
	for i := range x.parts {
		p := part{r.next(), r.next(), r.next32()}
		if uint64(p.unit) >= units {
			return false
		}
		x.parts[i] = p
	}
	return true
}

// numbers are taken off rest one by one; there must be enough.
type numbers struct{ rest []byte }

func (r *numbers) next() uint64 {
	n := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}

func (r *numbers) next32() uint32 {
	n := binary.LittleEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n
}
