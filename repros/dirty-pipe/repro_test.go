// Package dirtypipe shows that a write to a pipe changes a file that its
// writer may only read.
package dirtypipe

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// TestPipeDoesNotWriteToFiles makes a pipe whose slots have all been used by
// write(2), puts a byte of a file into it, and writes to the pipe.
func TestPipeDoesNotWriteToFiles(t *testing.T) {
	guest.Need(t)
	want := bytes.Repeat([]byte{'f'}, guest.PageSize())
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, want, 0o444); err != nil {
		t.Fatal(err)
	}
	file, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	p := usedPipe(t)
	var off int64
	if n, err := unix.Splice(file, &off, p[1], nil, 1, 0); n != 1 {
		t.Fatalf("splice: %d, %v", n, err)
	}
	if _, err := unix.Write(p[1], []byte("dirty")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the file begins with %q, want %q: a write to the pipe went to the page cache", got[:8], want[:8])
	}
}

// usedPipe is an empty pipe with all slots used before.
func usedPipe(t *testing.T) [2]int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, guest.PageSize())
	for range size / len(b) {
		if _, err := unix.Write(p[1], b); err != nil {
			t.Fatal(err)
		}
	}
	for range size / len(b) {
		if _, err := unix.Read(p[0], b); err != nil {
			t.Fatal(err)
		}
	}
	return p
}
