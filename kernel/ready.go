package kernel

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxReady bounds an image given as a file, in bytes: a vmlinux with all its
// debug information has half of it.
const maxReady = 2 << 30

// ErrNotImage is a file that is neither a vmlinux nor a bzImage for x86-64.
var ErrNotImage = errors.New("neither a vmlinux nor a bzImage for x86-64")

// Ready returns the image in the file path, a vmlinux or a bzImage that
// somebody else built. Its key is the digest of its content.
func (b *Builder) Ready(path string) (*Image, error) {
	image, err := ready(path)
	if err != nil {
		return nil, fmt.Errorf("read kernel image %s: %w", path, err)
	}
	return image, nil
}

func ready(path string) (*Image, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller says which file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxReady {
		return nil, fmt.Errorf("not a file of at most %d MiB", maxReady>>20)
	}
	image := &Image{Built: info.ModTime(), Cached: true}
	if version, ok := readBzImage(f); ok {
		image.BzImage, image.Release = path, firstWord([]byte(version))
		image.Vmlinux = vmlinuxOf(path, version)
	} else if image.PVH, err = readELF(f); err == nil {
		image.Vmlinux = path
	} else {
		return nil, err
	}
	return image, image.digest(f)
}

// digest sets the key and, where the release is not known, finds it: both take
// one pass over the file.
func (i *Image) digest(f *os.File) error {
	sum := sha256.New()
	find := &banner{}
	if _, err := io.Copy(io.MultiWriter(sum, find), io.NewSectionReader(f, 0, maxReady)); err != nil {
		return err
	}
	i.Key = hex.EncodeToString(sum.Sum(nil))[:keyDigits]
	if i.Release == "" {
		i.Release = find.release
	}
	return nil
}

// Where the x86 boot protocol keeps what is read here.
const (
	bootFlag    = 0x1fe // 0xaa55
	bootMagic   = 0x202 // "HdrS"
	bootRelease = 0x20e // offset of the release from 0x200
	maxRelease  = 128
	maxVersion  = 1 << 10
	maxRodata   = 256 << 20
)

// readBzImage tells whether f is a bzImage, and its version: "6.12.117
// (builder@host) #1 SMP Thu Jan 1 00:00:00 UTC 1970".
func readBzImage(f io.ReaderAt) (version string, ok bool) {
	head := make([]byte, 64<<10)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF || n < bootRelease+2 {
		return "", false
	}
	head = head[:n]
	if binary.LittleEndian.Uint16(head[bootFlag:]) != 0xaa55 || string(head[bootMagic:bootMagic+4]) != "HdrS" {
		return "", false
	}
	at := 0x200 + int(binary.LittleEndian.Uint16(head[bootRelease:]))
	if at == 0x200 || at >= len(head) {
		return "", true
	}
	text, _, _ := bytes.Cut(head[at:min(len(head), at+maxVersion)], []byte{0})
	return string(text), true
}

// vmlinuxOf finds the vmlinux that the bzImage at path was made of: beside it,
// or where kbuild leaves both. "" when there is none of that version.
func vmlinuxOf(path, version string) string {
	dir := filepath.Dir(path)
	for _, file := range []string{filepath.Join(dir, "vmlinux"), filepath.Join(dir, "../../../vmlinux")} {
		if sameBuild(file, version) {
			return file
		}
	}
	return ""
}

// sameBuild says that path is a vmlinux whose banner is of version, as a
// bzImage has it.
func sameBuild(path, version string) bool {
	head, build, ok := strings.Cut(version, ") ")
	file, err := elf.Open(path)
	if err != nil || !ok {
		return false
	}
	defer file.Close()
	section := file.Section(".rodata")
	if section == nil || section.Size > maxRodata {
		return false
	}
	data, err := section.Data()
	if err != nil {
		return false
	}
	// The first may be the banner of init/version.c, which does not tell the build.
	for mark := []byte("Linux version " + head + ") "); ; {
		var found bool
		if _, data, found = bytes.Cut(data, mark); !found {
			return false
		}
		banner, _, _ := bytes.Cut(data[:min(len(data), maxVersion)], []byte("\n"))
		if bytes.HasSuffix(banner, []byte(") "+build)) {
			return true
		}
	}
}

// firstWord is the printable text up to the first space or end.
func firstWord(text []byte) string {
	text = text[:min(len(text), maxRelease)]
	if i := bytes.IndexFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }); i >= 0 {
		text = text[:i]
	}
	return string(text)
}

// hasPVH tells whether the vmlinux in the file path can be booted directly.
func hasPVH(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return readELF(f)
}

// Bounds and names of the notes of an ELF file.
const (
	maxNotes = 1 << 20
	pvhName  = "Xen\x00"
	pvhType  = 18 // XEN_ELFNOTE_PHYS32_ENTRY
)

// readELF tells whether f, which must be an x86-64 program, has the PVH note.
func readELF(f io.ReaderAt) (pvh bool, err error) {
	file, err := elf.NewFile(f)
	if err != nil || file.Machine != elf.EM_X86_64 || file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return false, ErrNotImage
	}
	for _, p := range file.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > maxNotes {
			continue
		}
		notes := make([]byte, p.Filesz)
		if _, err := p.ReadAt(notes, 0); err != nil {
			return false, ErrNotImage
		}
		if findNote(notes, pvhName, pvhType) {
			return true, nil
		}
	}
	return false, nil
}

// findNote looks for one note in a segment of them.
func findNote(notes []byte, name string, kind uint32) bool {
	for len(notes) >= 12 {
		nameSize := uint64(binary.LittleEndian.Uint32(notes))
		descSize := uint64(binary.LittleEndian.Uint32(notes[4:]))
		end := 12 + align4(nameSize) + align4(descSize)
		if end > uint64(len(notes)) {
			return false
		}
		if binary.LittleEndian.Uint32(notes[8:]) == kind && string(notes[12:12+nameSize]) == name {
			return true
		}
		notes = notes[end:]
	}
	return false
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// A banner finds "Linux version <release> " in what is written to it.
type banner struct {
	release string
	carry   []byte
}

// Write never fails.
func (b *banner) Write(p []byte) (int, error) {
	if b.release != "" {
		return len(p), nil
	}
	const mark = "Linux version "
	b.carry = append(b.carry, p...)
	for rest := b.carry; ; {
		i := bytes.Index(rest, []byte(mark))
		if i < 0 || len(rest)-i < len(mark)+maxRelease {
			break
		}
		rest = rest[i+len(mark):]
		if word := firstWord(rest); word != "" && word[0] >= '0' && word[0] <= '9' {
			b.release = word
			break
		}
	}
	if keep := len(mark) + maxRelease; len(b.carry) > keep {
		b.carry = append(b.carry[:0], b.carry[len(b.carry)-keep:]...)
	}
	return len(p), nil
}

func trimLine(text []byte) string { return strings.TrimSpace(string(text)) }
