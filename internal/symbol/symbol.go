// Package symbol tells which line of which source file a place in a compiled
// kernel or module is, and which functions the compiler put into one another
// there: what addr2line does, from the file's own symbols and DWARF.
//
// A place is a function and an offset, as kernels print it, so that it does
// not matter where the kernel was loaded. Of a large file only an index is
// kept: its functions, and which part of the debug information covers which
// addresses. A look-up then reads one compilation unit.
//
// The files come from strangers: everything that is read from them is
// bounded, and a file that is damaged is an error and nothing else.
package symbol

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrNoDebugInfo is a file without DWARF: it was not compiled with -g, or
	// was stripped.
	ErrNoDebugInfo = errors.New("no debug information")
	// ErrUnknown is a place that the file does not have, or has no line for.
	ErrUnknown = errors.New("unknown place")
	// ErrDamaged is a file that is no ELF file, or contradicts itself.
	ErrDamaged = errors.New("damaged")
)

// A Place is where a stack frame stands.
type Place struct {
	// Symbol is the function's name in the symbol table, with the suffixes
	// the compiler added (".constprop.0").
	Symbol string
	// Offset is in bytes from the function's start.
	Offset uint64
	// Size is of the function in bytes, 0 when it is not known. It tells
	// functions of the same name apart.
	Size uint64
	// Return says that the place is a return address: the call that stands
	// right before it is meant.
	Return bool
}

// A Frame is a function at a line of its source.
type Frame struct {
	Func string // of the source; the symbol's name where DWARF has none
	File string // as the compiler was given it: "fs/fuse/dev.c"
	Line int    // from 1
	// Inlined says that the function's code is part of the next frame's.
	Inlined bool
}

// A Table answers for one file. It may be used by one goroutine at a time.
type Table struct {
	path  string
	obj   *object
	index *index
	units map[uint32]*unit
}

// Open returns the table of the ELF file at path, which must have DWARF, or it
// is ErrNoDebugInfo. The index is read from the file cache and made, and
// written there, when that is not the one of path; with cache "" it is only
// made. ctx bounds how long making may take, and the look-ups below.
func Open(ctx context.Context, path, cache string) (*Table, error) {
	t := &Table{path: path, units: map[uint32]*unit{}}
	err := guard(path, func() (err error) {
		if t.obj, err = openObject(path); err != nil {
			return err
		}
		if len(t.obj.debug["info"]) == 0 {
			return ErrNoDebugInfo
		}
		if t.index = readIndex(cache, t.obj.id); t.index != nil {
			return nil
		}
		if t.index, err = makeIndex(ctx, t.obj); err != nil {
			return err
		}
		// A table that can't be kept still serves.
		_ = writeIndex(cache, t.obj.id, t.index)
		return nil
	})
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close gives the file back. The Table must not be used after it.
func (t *Table) Close() {
	if t.obj != nil {
		t.obj.close()
		t.obj = nil
	}
}

// maxSame bounds how many functions of one name are looked at.
const maxSame = 64

// Look returns the frames at p, innermost first; the last is not Inlined. What
// cannot be told, or only with a doubt, is said in doubt, one line: then there
// may be no frames. A place the file does not have is ErrUnknown.
func (t *Table) Look(ctx context.Context, p Place) (frames []Frame, doubt string, err error) {
	all := t.index.named(p.Symbol)
	if len(all) == 0 {
		return nil, "", fmt.Errorf("%w: no function %s", ErrUnknown, p.Symbol)
	}
	same := sized(all, p.Size)
	if len(same) == 0 {
		if len(all) > 1 || p.Offset > max(all[0].span, all[0].size) {
			return nil, "", fmt.Errorf("%w: no function %s of %#x bytes", ErrUnknown, p.Symbol, p.Size)
		}
		same, doubt = all, fmt.Sprintf("%#x bytes long in the log, %#x in the file", p.Size, all[0].span)
	}
	for i, s := range same[:min(len(same), maxSame)] {
		found, err := t.inside(ctx, s, p)
		if err != nil {
			return nil, "", err
		}
		if i > 0 && !equal(found, frames) {
			return nil, fmt.Sprintf("%d functions have this name and size", len(same)), nil
		}
		frames = found
	}
	return frames, doubt, nil
}

// inside looks p up in the function s.
func (t *Table) inside(ctx context.Context, s symbol, p Place) ([]Frame, error) {
	if p.Offset > max(s.span, s.size) {
		return nil, fmt.Errorf("%w: %s+%#x is behind its end", ErrUnknown, p.Symbol, p.Offset)
	}
	// A call does not end before its function starts.
	return t.at(ctx, s.addr+p.Offset, p.Return && p.Offset > 0, s.name)
}

// At returns the frames at an address as the file was linked: of a kernel
// that was not moved when it was loaded.
func (t *Table) At(ctx context.Context, addr uint64, isReturn bool) ([]Frame, error) {
	if isReturn {
		addr--
	}
	s, ok := t.index.covering(addr)
	if !ok {
		return nil, fmt.Errorf("%w: no function at %#x", ErrUnknown, addr)
	}
	return t.at(ctx, addr, false, s.name)
}

func (t *Table) at(ctx context.Context, addr uint64, isReturn bool, name string) (frames []Frame, err error) {
	if isReturn {
		addr--
	}
	err = guard(t.path, func() error {
		part, ok := t.index.part(addr)
		if !ok {
			return fmt.Errorf("%w: %#x is in no compilation unit", ErrUnknown, addr)
		}
		u, err := t.unit(ctx, part)
		if err != nil {
			return err
		}
		frames, err = u.frames(ctx, addr, name)
		return err
	})
	return frames, err
}

// unit reads the compilation unit of part, or remembers it.
func (t *Table) unit(ctx context.Context, part part) (*unit, error) {
	if u := t.units[part.unit]; u != nil {
		return u, nil
	}
	span := t.index.units[part.unit]
	u, err := readUnit(ctx, t.obj, span, !t.index.crossing)
	if err == nil {
		t.units[part.unit] = u
	}
	return u, err
}

func equal(a, b []Frame) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
