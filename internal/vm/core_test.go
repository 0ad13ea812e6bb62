package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSparseKeepsBytesAndHoles(t *testing.T) {
	t.Parallel()
	want := make([]byte, 10<<20+123)
	copy(want, "begin")
	copy(want[5<<20:], "middle")
	copy(want[len(want)-3:], "end")
	for _, data := range [][]byte{want, want[:len(want)-3], nil} {
		f, err := os.Create(filepath.Join(t.TempDir(), "core"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := sparse(f, coreRoom, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || len(got) < coreRoom || !bytes.Equal(got[coreRoom:], data) {
			t.Errorf("%d bytes, %v, want %d", len(got), err, coreRoom+len(data))
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
			t.Errorf("%d bytes take %d on disk", len(data), used)
		}
	}
}

// core returns an ELF core as QEMU writes it, of memory from 0 on and of a
// device at high, behind the room for the headers to come.
func core(t *testing.T, memory string, high uint64, device string) string {
	t.Helper()
	var b bytes.Buffer
	b.Write(make([]byte, coreRoom))
	head := elf.Header64{Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 3,
		Shoff: 64, Shentsize: 64, Shnum: 2, Shstrndx: 1}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	at := uint64(64 + 3*56)
	for _, v := range []any{&head,
		&elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at},
		&elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at, Filesz: uint64(len(memory)), Memsz: uint64(len(memory))},
		&elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at + uint64(len(memory)), Vaddr: high, Paddr: high, Filesz: uint64(len(device)), Memsz: uint64(len(device))},
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString(memory + device)
	path := filepath.Join(t.TempDir(), "core")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMapKernelAddsItsAddresses(t *testing.T) {
	t.Parallel()
	path := core(t, "memory", 0xe0000000, "device")
	if err := mapKernel(path); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Sections) > 0 || f.Progs[0].Off <= coreRoom || f.Progs[0].Type != elf.PT_NOTE {
		t.Errorf("%d sections, first segment %+v", len(f.Sections), f.Progs[0].ProgHeader)
	}
	var head elf.Header64
	if data, err := os.ReadFile(path); err != nil || binary.Read(bytes.NewReader(data), binary.LittleEndian, &head) != nil || head.Phoff != 64 {
		t.Errorf("program headers at %d, where crash does not look; %v", head.Phoff, err)
	}
	at := func(addr uint64) string {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Vaddr == addr {
				text, _ := io.ReadAll(p.Open())
				return string(text)
			}
		}
		return ""
	}
	for addr, want := range map[uint64]string{
		0: "memory", 0xe0000000: "device", directMap: "memory", directMap + 0xe0000000: "device", kernelText: "memory",
	} {
		if got := at(addr); got != want {
			t.Errorf("at %#x: %q, want %q", addr, got, want)
		}
	}
}

func TestMapKernelRefusesWhatIsNoCore(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\x7fELF", strings.Repeat("\xff", coreRoom+4096)} {
		path := filepath.Join(t.TempDir(), "core")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mapKernel(path); err == nil {
			t.Errorf("%.10q: accepted", text)
		}
	}
}

// noted returns a core with a note of the kernel's for its readers.
func noted(t *testing.T, info string) string {
	t.Helper()
	path := core(t, "VMCOREINFO\x00\x00"+info+"\x00", 0xe0000000, "device")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := uint64(len(info) + 13) // the note is the memory, here
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, size), coreRoom+64+32); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCoreOfAMovedKernelHasItsImageOnly(t *testing.T) {
	t.Parallel()
	const still, moved = "OSRELEASE=6.12.1\nNUMBER(phys_base)=0\nKERNELOFFSET=0\n", "OSRELEASE=6.12.1\nNUMBER(phys_base)=-806354944\nKERNELOFFSET=31200000\n"
	for info, c := range map[string]struct {
		segments int
		text     uint64
	}{
		still: {6, kernelText}, "OSRELEASE=6.12.1\n": {6, kernelText}, "": {6, kernelText},
		moved: {4, kernelText + 806354944}, strings.Replace(moved, "=-", "=", 1): {4, kernelText - 806354944},
	} {
		segments := c.segments
		path := noted(t, info)
		if err := mapKernel(path); err != nil {
			t.Fatal(err)
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := CoreInfo(path); got != info || len(f.Progs) != segments {
			t.Errorf("%q: read %q, %d segments, want %d", info, got, len(f.Progs), segments)
		}
		found := false
		for _, p := range f.Progs {
			found = found || p.Type == elf.PT_LOAD && p.Paddr == 0 && p.Vaddr == c.text
		}
		if !found {
			t.Errorf("%q: nothing at %#x", info, c.text)
		}
		f.Close()
	}
}
