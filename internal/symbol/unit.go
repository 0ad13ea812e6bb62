package symbol

import (
	"cmp"
	"context"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"
)

// The bounds of one compilation unit.
const (
	maxRows      = 4 << 20 // lines of its table
	maxFunctions = 1 << 20
	maxDepth     = 64      // functions put into one another
	maxOrigin    = 8       // references from an entry to what names it
	maxEntries   = 4 << 20 // entries of one function
)

// A unit is a compilation unit: a source file with what it includes.
type unit struct {
	data      *dwarf.Data
	files     []*dwarf.LineFile
	rows      []row      // by address
	functions []function // by address
}

// A row is the line that a range of addresses came from.
type row struct {
	low, high uint64
	file      string
	line      int
}

// A function is a range of a function's addresses.
type function struct {
	low, high uint64
	at        dwarf.Offset
}

// readUnit reads lines and functions of u; without inlines it leaves the
// functions out.
func readUnit(ctx context.Context, o *object, u span, inlines bool) (*unit, error) {
	d, err := o.dwarf(u)
	if err != nil {
		return nil, err
	}
	r := &unit{data: d}
	reader := d.Reader()
	e, err := reader.Next()
	if err == nil && e == nil {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = r.readLines(e)
	}
	if err == nil && inlines {
		err = r.readFunctions(ctx, reader)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, nil
}

func (u *unit) readLines(e *dwarf.Entry) error {
	lines, err := u.data.LineReader(e)
	if err != nil || lines == nil {
		return err
	}
	var last dwarf.LineEntry
	for started := false; len(u.rows) < maxRows; started = true {
		var next dwarf.LineEntry
		if err := lines.Next(&next); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return err
		}
		if started && !last.EndSequence && next.Address > last.Address && last.File != nil {
			u.rows = append(u.rows, row{last.Address, next.Address, clean(last.File), last.Line})
		}
		last = next
	}
	u.files = lines.Files()
	slices.SortStableFunc(u.rows, func(a, b row) int { return cmp.Compare(a.low, b.low) })
	return nil
}

func clean(f *dwarf.LineFile) string { return path.Clean(f.Name) }

// readFunctions finds the functions at the top and in name spaces.
func (u *unit) readFunctions(ctx context.Context, r *dwarf.Reader) error {
	for {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Tag == dwarf.TagSubprogram {
			ranges, err := u.data.Ranges(e)
			if err != nil {
				return err
			}
			for _, a := range ranges {
				u.functions = append(u.functions, function{a[0], a[1], e.Offset})
			}
			if len(u.functions) > maxFunctions {
				return fmt.Errorf("more than %d functions", maxFunctions)
			}
		}
		if e.Tag != dwarf.TagNamespace && e.Tag != 0 {
			r.SkipChildren()
		}
	}
	slices.SortStableFunc(u.functions, func(a, b function) int { return cmp.Compare(a.low, b.low) })
	return nil
}

// frames returns the frames at addr, which lies in the function that the
// symbol table calls name, innermost first.
func (u *unit) frames(ctx context.Context, addr uint64, name string) ([]Frame, error) {
	i := sort.Search(len(u.rows), func(i int) bool { return u.rows[i].low > addr }) - 1
	if i < 0 || addr >= u.rows[i].high || u.rows[i].line <= 0 {
		return nil, fmt.Errorf("%w: no line for %#x", ErrUnknown, addr)
	}
	chain, err := u.chain(ctx, addr)
	if err != nil {
		return nil, err
	}
	file, line := u.rows[i].file, u.rows[i].line
	var frames []Frame
	for n := len(chain) - 1; n > 0; n-- {
		frames = append(frames, Frame{Func: chain[n].name, File: file, Line: line, Inlined: true})
		file, line = u.file(chain[n].callFile), int(chain[n].callLine)
	}
	if len(chain) > 0 && chain[0].name != "" {
		name = chain[0].name
	}
	return append(frames, Frame{Func: name, File: file, Line: line}), nil
}

func (u *unit) file(n int64) string {
	if n < 0 || n >= int64(len(u.files)) || u.files[n] == nil {
		return ""
	}
	return clean(u.files[n])
}

// A call is a function and where it was put into the one around it.
type call struct {
	name               string
	callFile, callLine int64
}

// chain is the function at addr and those put into it there, outermost first.
func (u *unit) chain(ctx context.Context, addr uint64) ([]call, error) {
	i := sort.Search(len(u.functions), func(i int) bool { return u.functions[i].low > addr }) - 1
	if i < 0 || addr >= u.functions[i].high {
		return nil, nil
	}
	r := u.data.Reader()
	r.Seek(u.functions[i].at)
	e, err := r.Next()
	if err != nil || e == nil {
		return nil, fmt.Errorf("%w: a function's entry: %w", ErrDamaged, err)
	}
	chain := []call{{name: u.name(e)}}
	for n := 0; e.Children && n < maxEntries && len(chain) < maxDepth; n++ {
		inner, err := r.Next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if inner == nil || inner.Tag == 0 {
			break
		}
		if !u.covers(inner, addr) {
			r.SkipChildren()
			continue
		}
		if e = inner; e.Tag == dwarf.TagInlinedSubroutine {
			file, _ := e.Val(dwarf.AttrCallFile).(int64)
			line, _ := e.Val(dwarf.AttrCallLine).(int64)
			chain = append(chain, call{u.name(e), file, line})
		}
	}
	return chain, nil
}

// covers says that e is a block or a function put here and holds addr.
func (u *unit) covers(e *dwarf.Entry, addr uint64) bool {
	if e.Tag != dwarf.TagInlinedSubroutine && e.Tag != dwarf.TagLexDwarfBlock {
		return false
	}
	ranges, err := u.data.Ranges(e)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= addr && addr < r[1] })
}

// name is the function's name, which may stand at what e was made from.
func (u *unit) name(e *dwarf.Entry) string {
	r := u.data.Reader()
	for range maxOrigin {
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			return name
		}
		origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if origin, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				return ""
			}
		}
		r.Seek(origin)
		next, err := r.Next()
		if err != nil || next == nil {
			return ""
		}
		e = next
	}
	return ""
}
