package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// coreTime bounds the writing of a core; a GiB takes a few seconds.
const coreTime = 2 * time.Minute

// Commands that dump the guest's memory as an ELF core, by physical address:
// to go through a guest's page tables takes QEMU for ever where KASAN maps the
// whole address space.
const (
	qmpCore = `{"execute":"getfd","arguments":{"fdname":"core"}}` + "\n"
	qmpDump = `{"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"fd:core"}}` + "\n"
)

// dump writes the guest's memory to the file Options.Core, where that is
// wanted and a guest is there. Meanwhile the guest stands still.
func (r *run) dump(ctx context.Context) error {
	if r.options.Core == "" || r.result.Core {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, coreTime)
	defer cancel()
	file, err := os.OpenFile(r.options.Core, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("core: %w", err)
	}
	defer file.Close()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("core: %w", os.NewSyscallError("pipe2", err))
	}
	from, to := os.NewFile(uintptr(fds[0]), "core"), os.NewFile(uintptr(fds[1]), "core")
	defer from.Close()
	err = sendFD(r.channels.qmp, qmpCore+qmpDump, to)
	to.Close() // QEMU has its own: the pipe ends with the dump
	if err != nil {
		return nil // QEMU is gone
	}
	copied := make(chan error, 1)
	go func() { copied <- sparse(file, coreRoom, from) }()
	select {
	case err = <-copied:
	case <-r.process.exited:
		err = errors.New("QEMU ended")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = mapKernel(r.options.Core)
	}
	if err != nil {
		return fmt.Errorf("core: %w", err)
	}
	r.result.Core = true
	return nil
}

// Where a kernel that was not moved sees physical memory from 0 on, and how
// much of it (Documentation/arch/x86/x86_64/mm.rst, four levels of tables).
const (
	directMap  = 0xffff888000000000
	kernelText = 0xffffffff80000000
	textSize   = 512 << 20
)

// coreRoom is what precedes QEMU's core in the file, in bytes: room for the
// headers that mapKernel makes. crash wants them at the front.
const coreRoom = 64 << 10

// mapKernel makes the headers of a core of physical memory that QEMU wrote at
// coreRoom. They give the memory the kernel's addresses too, so that gdb finds
// variables and what pointers lead to. Of a kernel that was moved only the
// image has its addresses: where it sees the rest is found by what that says.
func mapKernel(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var head elf.Header64
	if err := binary.Read(io.NewSectionReader(f, coreRoom, 1<<20), binary.LittleEndian, &head); err != nil {
		return err
	}
	if head.Phnum > maxSegments {
		return fmt.Errorf("%d program headers", head.Phnum)
	}
	segments := make([]elf.Prog64, head.Phnum)
	if err := binary.Read(io.NewSectionReader(f, coreRoom+int64(head.Phoff), 1<<20), binary.LittleEndian, segments); err != nil {
		return err
	}
	for i := range segments {
		segments[i].Off += coreRoom
	}
	info := vmcoreinfoOf(f, segments)
	text := textAt(info)
	for _, s := range segments[:len(segments):len(segments)] {
		if elf.ProgType(s.Type) != elf.PT_LOAD {
			continue
		}
		if !Moved(info) {
			segments = append(segments, shifted(s, directMap, s.Filesz))
		}
		if s.Paddr == 0 {
			segments = append(segments, shifted(s, text, min(s.Filesz, textSize, -text)))
		}
	}
	head.Phoff, head.Phnum = uint64(binary.Size(head)), uint16(len(segments))
	head.Shoff, head.Shnum, head.Shstrndx = 0, 0, 0 // QEMU's are of no use
	w := io.NewOffsetWriter(f, 0)
	if err := binary.Write(w, binary.LittleEndian, &head); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, segments)
}

// maxSegments bounds the program headers of QEMU's core, of each of which
// mapKernel makes three at most; a guest has a handful.
const maxSegments = 300

// shifted is s where the kernel sees it, with base for physical address 0.
func shifted(s elf.Prog64, base, size uint64) elf.Prog64 {
	s.Vaddr = base + s.Paddr
	s.Filesz, s.Memsz = size, size
	return s
}

// sparse copies r to f from offset at on and leaves holes where there are
// zeroes: most of a guest's memory was never used.
func sparse(f *os.File, at int64, r io.Reader) error {
	const block = 64 << 10
	buf, zeroes := make([]byte, block), make([]byte, block)
	size := at
	for {
		n, err := io.ReadFull(r, buf)
		if !bytes.Equal(buf[:n], zeroes[:n]) {
			if _, err := f.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return f.Truncate(size)
		case err != nil:
			return err
		}
	}
}

// Bounds and form of the notes in a core.
const (
	maxNotes   = 4 << 20
	coreInfoID = "VMCOREINFO\x00"
)

// CoreInfo is what the kernel left for the readers of a core, lines of
// NAME=VALUE (Documentation/admin-guide/kdump/vmcoreinfo.rst); "" when it did
// not, or path is no core.
func CoreInfo(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		if info := infoIn(p.Open()); info != "" {
			return info
		}
	}
	return ""
}

// vmcoreinfoOf is CoreInfo of what segments of r hold.
func vmcoreinfoOf(r io.ReaderAt, segments []elf.Prog64) string {
	for _, s := range segments {
		if elf.ProgType(s.Type) != elf.PT_NOTE {
			continue
		}
		if info := infoIn(io.NewSectionReader(r, int64(s.Off), int64(min(s.Filesz, maxNotes)))); info != "" {
			return info
		}
	}
	return ""
}

// infoIn is the text of the kernel's note among notes.
func infoIn(notes io.Reader) string {
	data, err := io.ReadAll(io.LimitReader(notes, maxNotes))
	if err != nil {
		return ""
	}
	_, info, _ := bytes.Cut(data, []byte(coreInfoID))
	text, _, _ := bytes.Cut(bytes.TrimLeft(info, "\x00"), []byte{0})
	return string(text)
}

// Moved says that a kernel whose CoreInfo is info does not lie where it was
// linked.
func Moved(info string) bool {
	for line := range strings.Lines(info) {
		if offset, ok := strings.CutPrefix(strings.TrimSpace(line), "KERNELOFFSET="); ok {
			return strings.Trim(offset, "0") != ""
		}
	}
	return false
}

// textAt is where a kernel whose CoreInfo is info sees physical memory from 0
// on beside its image. Its phys_base is the difference, which may be negative.
func textAt(info string) uint64 {
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "NUMBER(phys_base)="); ok {
			if base, err := strconv.ParseInt(text, 10, 64); err == nil {
				return kernelText - uint64(base)
			}
		}
	}
	return kernelText
}
