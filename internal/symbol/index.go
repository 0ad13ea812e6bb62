package symbol

import (
	"cmp"
	"context"
	"debug/dwarf"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// An index says where everything is in a file.
type index struct {
	symbols []symbol // by address, then name
	names   []uint32 // symbols by name
	units   []span   // compilation units that have code
	parts   []part   // by address
	// crossing says that compilation units refer to one another (link-time
	// optimisation): functions put into others can't be named then.
	crossing bool
}

// A symbol is a function.
type symbol struct {
	addr uint64
	// span is up to the next function, padding included: what kernels print
	// as a function's size. size is what the compiler says.
	span, size uint64
	name       string
	end        uint64 // of its section; only while the index is made
}

// A span is a part of the section of compilation units, in bytes.
type span struct{ offset, size uint64 }

// A part is a range of addresses that belongs to a unit.
type part struct {
	low, high uint64
	unit      uint32 // in index.units
}

// maxParts bounds the parts of a file.
const maxParts = 4 << 20

// makeIndex reads the whole file once. One compilation unit is in memory at a
// time.
func makeIndex(ctx context.Context, o *object) (*index, error) {
	functions, err := o.functions()
	if err != nil {
		return nil, err
	}
	x := &index{symbols: functions}
	x.arrange()
	if x.crossing, err = crossing(o.debug["abbrev"]); err != nil {
		return nil, err
	}
	info := o.debug["info"]
	for at := uint64(0); at < uint64(len(info)); {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("make an index: %w", err)
		}
		size, err := unitSize(info[at:])
		if err != nil {
			return nil, err
		}
		if err := x.addUnit(o, span{at, size}); err != nil {
			return nil, err
		}
		at += size
	}
	slices.SortStableFunc(x.parts, func(a, b part) int { return cmp.Compare(a.low, b.low) })
	return x, nil
}

// arrange sorts the symbols and finds out how far each goes.
func (x *index) arrange() {
	slices.SortFunc(x.symbols, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.name, b.name))
	})
	next := uint64(0)
	for i := len(x.symbols) - 1; i >= 0; i-- {
		s := &x.symbols[i]
		if i+1 < len(x.symbols) && x.symbols[i+1].addr != s.addr {
			next = x.symbols[i+1].addr
		}
		end := s.end
		if next > s.addr && next < end {
			end = next
		}
		s.span = max(end, s.addr) - s.addr
	}
	x.names = make([]uint32, len(x.symbols))
	for i := range x.names {
		x.names[i] = uint32(i)
	}
	slices.SortFunc(x.names, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(x.symbols[a].name, x.symbols[b].name), cmp.Compare(a, b))
	})
}

// unitSize reads the size of the compilation unit that info starts with, its
// own size field included.
func unitSize(info []byte) (uint64, error) {
	if len(info) < 12 {
		return 0, fmt.Errorf("%w: %d bytes behind the last compilation unit", ErrDamaged, len(info))
	}
	size := uint64(binary.LittleEndian.Uint32(info)) + 4
	if size == 0xffffffff+4 {
		size = binary.LittleEndian.Uint64(info[4:]) + 12
	}
	if size < 12 || size > uint64(len(info)) {
		return 0, fmt.Errorf("%w: a compilation unit of %d bytes", ErrDamaged, size)
	}
	return size, nil
}

// addUnit adds the addresses of a compilation unit.
func (x *index) addUnit(o *object, u span) error {
	d, err := o.dwarf(u)
	if err != nil {
		return err
	}
	e, err := d.Reader().Next()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e == nil || e.Tag != dwarf.TagCompileUnit {
		return nil
	}
	ranges, err := d.Ranges(e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(x.parts)+len(ranges) > maxParts {
		return fmt.Errorf("%w: more than %d ranges of addresses", ErrDamaged, maxParts)
	}
	before := len(x.parts)
	for _, r := range ranges {
		// code the linker threw away stands at 0
		if r[0] != 0 && r[1] > r[0] {
			x.parts = append(x.parts, part{r[0], r[1], uint32(len(x.units))})
		}
	}
	if len(x.parts) > before {
		x.units = append(x.units, u)
	}
	return nil
}

// named returns the functions called name, one for each address.
func (x *index) named(name string) []symbol {
	at := sort.Search(len(x.names), func(i int) bool { return x.symbols[x.names[i]].name >= name })
	var all []symbol
	for ; at < len(x.names) && x.symbols[x.names[at]].name == name; at++ {
		s := x.symbols[x.names[at]]
		if len(all) == 0 || all[len(all)-1].addr != s.addr {
			all = append(all, s)
		}
	}
	return all
}

// sized returns those of all that have the given size; 0 is any.
func sized(all []symbol, size uint64) []symbol {
	var same []symbol
	for _, s := range all {
		if size == 0 || s.span == size || s.size == size {
			same = append(same, s)
		}
	}
	return same
}

// covering returns the function at addr.
func (x *index) covering(addr uint64) (symbol, bool) {
	i := sort.Search(len(x.symbols), func(i int) bool { return x.symbols[i].addr > addr }) - 1
	if i < 0 || addr-x.symbols[i].addr >= max(x.symbols[i].span, x.symbols[i].size) {
		return symbol{}, false
	}
	return x.symbols[i], true
}

// part returns the part that holds addr.
func (x *index) part(addr uint64) (part, bool) {
	i := sort.Search(len(x.parts), func(i int) bool { return x.parts[i].low > addr }) - 1
	if i < 0 || addr >= x.parts[i].high {
		return part{}, false
	}
	return x.parts[i], true
}
