package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// The newc format, from the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
const (
	newcMagic   = "070701"
	newcHeader  = 110 // the magic and 13 fields of 8 hexadecimal digits
	newcTrailer = "TRAILER!!!"
	maxPath     = 4096
)

// An entry is one member of a newc archive.
type entry struct {
	name string
	mode uint32
	data []byte
}

// unpack writes the members of newc archives, one behind the other, below
// root, as the kernel does with an initramfs. What runvm packs are
// directories, regular files and symbolic links.
func unpack(root string, archives []byte) error {
	for len(archives) > 0 {
		if archives[0] == 0 { // between archives
			archives = archives[1:]
			continue
		}
		e, rest, err := nextEntry(archives)
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		archives = rest
		if e.name == newcTrailer {
			continue
		}
		if err := e.write(root); err != nil {
			return fmt.Errorf("unpack %s: %w", e.name, err)
		}
	}
	return nil
}

// nextEntry reads the first member; archive starts at a multiple of 4 bytes
// of its archive.
func nextEntry(archive []byte) (e entry, rest []byte, err error) {
	if len(archive) < newcHeader || string(archive[:len(newcMagic)]) != newcMagic {
		return e, nil, errors.New("not a newc archive")
	}
	field := func(i int) (n uint64) {
		at := len(newcMagic) + 8*i
		n, bad := strconv.ParseUint(string(archive[at:at+8]), 16, 32)
		err = errors.Join(err, bad)
		return n
	}
	mode, size, nameSize := field(1), field(6), field(11)
	if err != nil {
		return e, nil, err
	}
	begin := align4(newcHeader + nameSize)
	end := begin + size
	if nameSize < 1 || nameSize > maxPath || end > uint64(len(archive)) {
		return e, nil, errors.New("a member does not end")
	}
	name := archive[newcHeader : newcHeader+nameSize]
	e = entry{name: string(bytes.TrimRight(name, "\x00")), mode: uint32(mode), data: archive[begin:end]}
	return e, archive[min(align4(end), uint64(len(archive))):], nil
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// write makes e below root; a directory may be there already.
func (e *entry) write(root string) error {
	if !filepath.IsLocal(e.name) {
		return errors.New("not a path below the root")
	}
	path := filepath.Join(root, e.name)
	perm := e.mode & 0o7777
	switch e.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := unix.Mkdir(path, perm); err != nil && err != unix.EEXIST {
			return err
		}
	case unix.S_IFREG:
		if err := os.WriteFile(path, e.data, 0); err != nil {
			return err
		}
	case unix.S_IFLNK:
		return os.Symlink(string(e.data), path)
	default:
		return fmt.Errorf("mode %#o is neither directory, file nor link", e.mode)
	}
	return unix.Chmod(path, perm)
}
