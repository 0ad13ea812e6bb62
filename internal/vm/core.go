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
	go func() { copied <- sparse(file, from) }()
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

// mapKernel gives the memory in an ELF core of physical memory the kernel's
// addresses too, so that gdb finds variables and what pointers lead to. The
// new program headers come behind the memory.
func mapKernel(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var head elf.Header64
	if err := binary.Read(f, binary.LittleEndian, &head); err != nil {
		return err
	}
	if head.Phnum > maxSegments {
		return fmt.Errorf("%d program headers", head.Phnum)
	}
	segments := make([]elf.Prog64, head.Phnum)
	if err := binary.Read(io.NewSectionReader(f, int64(head.Phoff), 1<<20), binary.LittleEndian, segments); err != nil {
		return err
	}
	for _, s := range segments[:len(segments):len(segments)] {
		if elf.ProgType(s.Type) != elf.PT_LOAD {
			continue
		}
		segments = append(segments, shifted(s, directMap, s.Filesz))
		if s.Paddr == 0 {
			segments = append(segments, shifted(s, kernelText, min(s.Filesz, textSize)))
		}
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := binary.Write(f, binary.LittleEndian, segments); err != nil {
		return err
	}
	head.Phoff, head.Phnum = uint64(end), uint16(len(segments))
	return binary.Write(io.NewOffsetWriter(f, 0), binary.LittleEndian, &head)
}

// maxSegments bounds the program headers of a core; a guest has a handful.
const maxSegments = 1000

// shifted is s where the kernel sees it, with base for physical address 0.
func shifted(s elf.Prog64, base, size uint64) elf.Prog64 {
	s.Vaddr = base + s.Paddr
	s.Filesz, s.Memsz = size, size
	return s
}

// sparse copies r to f and leaves holes where there are zeroes: most of a
// guest's memory was never used.
func sparse(f *os.File, r io.Reader) error {
	const block = 64 << 10
	buf, zeroes := make([]byte, block), make([]byte, block)
	var size int64
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
