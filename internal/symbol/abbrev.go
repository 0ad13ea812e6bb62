package symbol

import "fmt"

// Forms of DWARF that matter here.
const (
	formRefAddr       = 0x10 // a reference into any compilation unit
	formImplicitConst = 0x21 // has its value in the table
)

// crossing says whether an entry may refer to another compilation unit.
func crossing(abbrev []byte) (bool, error) {
	r := &reader{data: abbrev}
	for len(r.data) > 0 {
		if r.number() == 0 {
			continue // the end of a table
		}
		r.number() // tag
		r.number() // whether it has children
		for {
			name, form := r.number(), r.number()
			if form == formImplicitConst {
				r.number() // signed, but as long
			}
			if form == formRefAddr {
				return true, nil
			}
			if name == 0 && form == 0 {
				break
			}
			if r.short {
				return false, fmt.Errorf("%w: a table of abbreviations is cut", ErrDamaged)
			}
		}
	}
	return false, nil
}

// A reader takes numbers of variable length (LEB128) off data.
type reader struct {
	data  []byte
	short bool // there was none left
}

func (r *reader) number() uint64 {
	var n uint64
	for i, b := range r.data {
		if i < 9 {
			n |= uint64(b&0x7f) << (7 * i)
		}
		if b < 0x80 {
			r.data = r.data[i+1:]
			return n
		}
	}
	r.data, r.short = nil, true
	return 0
}
