package symbol

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestCompressedAndCrossing reads what the Go linker writes: compressed
// sections, and units that refer to one another, so that functions put into
// others are not told.
func TestCompressedAndCrossing(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module toy\n\ngo 1.24\n",
		"toy.go": "package main\n\nfunc small(n int) int { return n + 1 }\n\n//go:noinline\nfunc large(n int) int {\n\tprintln(n)\n\treturn small(n)\n}\n\nfunc main() {\n\tprintln(large(2))\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", "toy", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cache := filepath.Join(dir, "index")
	for range 2 { // made, then read
		table := open(t, filepath.Join(dir, "toy"), cache)
		all := table.index.named("main.large")
		if len(all) != 1 || !table.index.crossing {
			t.Fatalf("%v, crossing %v", all, table.index.crossing)
		}
		for offset := range all[0].size {
			got, err := table.At(t.Context(), all[0].addr+offset, false)
			if err != nil || len(got) != 1 || got[0].Func != "main.large" || got[0].File != "toy/toy.go" || got[0].Line < 3 || got[0].Line > 9 {
				t.Fatalf("main.large+%#x: %v, %v", offset, got, err)
			}
		}
	}
}

// FuzzOpen damages the test program: whatever is in it, it is read or an error.
func FuzzOpen(f *testing.F) {
	data, err := os.ReadFile("testdata/program.elf")
	if err != nil {
		f.Fatal(err)
	}
	module, err := os.ReadFile("testdata/module.ko")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(false, uint16(0), []byte{})
	f.Add(true, uint16(0x1234), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, ko bool, at uint16, patch []byte) {
		file := append([]byte(nil), data...)
		if ko {
			file = append([]byte(nil), module...)
		}
		copy(file[int(at)%len(file):], patch)
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		table, err := Open(ctx, path, "")
		if err != nil {
			return
		}
		defer table.Close()
		for _, p := range []Place{{"outer", 0xf, 0x30, true}, {"twin", 1, 0x20, false}, {"shared", 3, 0, false}} {
			if _, _, err := table.Look(ctx, p); errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v took longer than a second", p)
			}
		}
	})
}

// benchmarked is the file RUNVM_VMLINUX names, else the test program.
func benchmarked(b *testing.B) string {
	if path := os.Getenv("RUNVM_VMLINUX"); path != "" {
		return path
	}
	return "testdata/program.elf"
}

// BenchmarkFirst opens a file that has no index yet.
func BenchmarkFirst(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		open(b, benchmarked(b), "").Close()
	}
}

// BenchmarkHundred opens a file that has an index and looks up a hundred
// places all over it.
func BenchmarkHundred(b *testing.B) {
	cache := filepath.Join(b.TempDir(), "index")
	open(b, benchmarked(b), cache).Close()
	b.ReportAllocs()
	for b.Loop() {
		table := open(b, benchmarked(b), cache)
		all := table.index.symbols
		for i := range 100 {
			s := all[i*len(all)/100]
			_, _ = table.At(b.Context(), s.addr+s.span/2, true)
		}
		table.Close()
	}
}
