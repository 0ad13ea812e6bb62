package symbol

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// The bounds of what is read from a file.
const (
	maxFile     = 4 << 30 // bytes
	maxUnpacked = 1 << 30 // bytes of all sections that are compressed
	maxSymbols  = 4 << 20
)

// An object is an ELF file that is mapped into memory: the system reads what
// is looked at, and no more.
type object struct {
	data  []byte
	file  *elf.File
	id    identity
	debug map[string][]byte // DWARF's sections, "info", "line"
	bases []uint64          // addresses given to the sections of a module
}

// An identity tells one state of a file from another.
type identity struct{ size, modified int64 }

// guard calls f. What debug/elf and debug/dwarf do not survive, and a file
// that shrinks while it is read, is ErrDamaged.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		if err != nil {
			err = fmt.Errorf("read symbols of %s: %w", path, err)
		}
	}()
	return f()
}

func openObject(path string) (*object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller says which file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxFile {
		return nil, fmt.Errorf("not a file of 1 to %d bytes", int64(maxFile))
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	o := &object{data: data, id: identity{info.Size(), info.ModTime().UnixNano()}}
	if err := o.parse(); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *object) close() { _ = unix.Munmap(o.data) }

// parse finds what is needed in the file.
func (o *object) parse() error {
	var err error
	if o.file, err = elf.NewFile(bytes.NewReader(o.data)); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if o.file.Class != elf.ELFCLASS64 || o.file.ByteOrder != binary.LittleEndian {
		return fmt.Errorf("%w: not a 64-bit little-endian file", ErrDamaged)
	}
	if o.file.Type == elf.ET_REL {
		o.place()
	}
	if err := o.sections(); err != nil || o.file.Type != elf.ET_REL {
		return err
	}
	return o.relocate()
}

// sections finds those of DWARF.
func (o *object) sections() error {
	o.debug = map[string][]byte{}
	unpacked := uint64(0)
	for _, s := range o.file.Sections {
		name, ok := strings.CutPrefix(s.Name, ".debug_")
		if !ok || s.Type == elf.SHT_NOBITS {
			continue
		}
		if s.Flags&elf.SHF_COMPRESSED == 0 {
			if s.Offset > uint64(len(o.data)) || s.Size > uint64(len(o.data))-s.Offset {
				return fmt.Errorf("%w: section %s leaves the file", ErrDamaged, s.Name)
			}
			o.debug[name] = o.data[s.Offset : s.Offset+s.Size : s.Offset+s.Size]
			continue
		}
		if s.Size > maxUnpacked || unpacked+s.Size > maxUnpacked {
			return fmt.Errorf("%w: more than %d MiB of debug information unpacked", ErrDamaged, maxUnpacked>>20)
		}
		unpacked += s.Size
		data, err := s.Data()
		if err != nil {
			return fmt.Errorf("%w: section %s: %w", ErrDamaged, s.Name, err)
		}
		o.debug[name] = data
	}
	return nil
}

// dwarf returns the debug information of one compilation unit alone, so that
// the others need not be looked at. References out of the unit lead nowhere.
func (o *object) dwarf(u span) (*dwarf.Data, error) {
	info := o.debug["info"]
	if u.offset > uint64(len(info)) || u.size > uint64(len(info))-u.offset {
		return nil, fmt.Errorf("%w: a compilation unit leaves its section", ErrDamaged)
	}
	d, err := dwarf.New(o.debug["abbrev"], nil, nil, info[u.offset:u.offset+u.size], o.debug["line"], nil, o.debug["ranges"], o.debug["str"])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, name := range []string{"line_str", "rnglists", "addr", "str_offsets"} {
		if s := o.debug[name]; s != nil {
			if err := d.AddSection(".debug_"+name, s); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
	}
	return d, nil
}

// functions returns the named places in code, which is what the kernel prints
// the names of. Their span is not known yet.
func (o *object) functions() ([]symbol, error) {
	table := o.file.SectionByType(elf.SHT_SYMTAB)
	if table == nil {
		return nil, fmt.Errorf("%w: no symbols", ErrUnknown)
	}
	if table.Size/elf.Sym64Size > maxSymbols {
		return nil, fmt.Errorf("%w: more than %d symbols", ErrDamaged, maxSymbols)
	}
	all, err := o.file.Symbols()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var functions []symbol
	for _, s := range all {
		section := int(s.Section)
		if s.Name == "" || strings.HasPrefix(s.Name, ".L") || section <= 0 || section >= len(o.file.Sections) {
			continue
		}
		if kind := elf.ST_TYPE(s.Info); kind != elf.STT_FUNC && kind != elf.STT_NOTYPE {
			continue
		}
		in := o.file.Sections[section]
		if in.Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		base, end := uint64(0), in.Addr+in.Size
		if o.bases != nil {
			base, end = o.bases[section], o.bases[section]+in.Size
		}
		functions = append(functions, symbol{addr: base + s.Value, size: s.Size, end: end, name: s.Name})
	}
	return functions, nil
}
