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
		if err := sparse(f, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v, want %d", len(got), err, len(data))
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

// core returns an ELF core of memory from 0 on and of a device at high.
func core(t *testing.T, memory string, high uint64, device string) string {
	t.Helper()
	var b bytes.Buffer
	head := elf.Header64{Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 3}
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
	for _, text := range []string{"", "\x7fELF", strings.Repeat("\xff", 4096)} {
		path := filepath.Join(t.TempDir(), "core")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mapKernel(path); err == nil {
			t.Errorf("%.10q: accepted", text)
		}
	}
}
