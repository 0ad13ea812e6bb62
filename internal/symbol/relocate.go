package symbol

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// place gives each section of a module an address of its own, which it has not
// before it is loaded: else all of them would start at 0.
func (o *object) place() {
	const page = 4096
	o.bases = make([]uint64, len(o.file.Sections))
	next := uint64(page)
	for i, s := range o.file.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 {
			o.bases[i] = next
			next += (min(s.Size, maxFile) + 2*page) &^ (page - 1)
		}
	}
}

// relocate writes the addresses of place into the debug information, as the
// loader would if it were loaded.
func (o *object) relocate() error {
	symbols, err := o.file.Symbols()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, s := range o.file.Sections {
		name, ok := strings.CutPrefix(s.Name, ".rela.debug_")
		if !ok || s.Type != elf.SHT_RELA || o.debug[name] == nil {
			continue
		}
		if s.Size > uint64(len(o.data)) {
			return fmt.Errorf("%w: section %s leaves the file", ErrDamaged, s.Name)
		}
		table, err := s.Data()
		if err != nil {
			return fmt.Errorf("%w: section %s: %w", ErrDamaged, s.Name, err)
		}
		// the mapped file can't be written to
		data := append([]byte(nil), o.debug[name]...)
		o.patch(data, table, symbols)
		o.debug[name] = data
	}
	return nil
}

// patch applies a table of relocations to data. Those it does not know, or
// that lie outside, it leaves: they can only make a line unknown.
func (o *object) patch(data, table []byte, symbols []elf.Symbol) {
	const entry = 24
	for ; len(table) >= entry; table = table[entry:] {
		at, info, addend := binary.LittleEndian.Uint64(table), binary.LittleEndian.Uint64(table[8:]), binary.LittleEndian.Uint64(table[16:])
		n := info >> 32
		if n == 0 || n > uint64(len(symbols)) || at > uint64(len(data)) {
			continue
		}
		s := symbols[n-1] // debug/elf leaves the first, empty one out
		value := s.Value + addend
		if section := int(s.Section); section > 0 && section < len(o.bases) {
			value += o.bases[section]
		}
		switch kind := elf.R_X86_64(info & 0xffffffff); {
		case kind == elf.R_X86_64_64 && uint64(len(data))-at >= 8:
			binary.LittleEndian.PutUint64(data[at:], value)
		case kind == elf.R_X86_64_32 && uint64(len(data))-at >= 4:
			binary.LittleEndian.PutUint32(data[at:], uint32(value))
		}
	}
}
