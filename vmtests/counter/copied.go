package counter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// copiedFile is where the kernel says how many bytes it has copied.
const copiedFile = "/proc/copied_bytes"

// Copied counts copied bytes.
type Copied struct{ since uint64 }

// NewCopied returns nil on a kernel that does not count, and fails the test
// when it does not count what is known to be copied.
func NewCopied(t testing.TB) *Copied {
	t.Helper()
	if _, err := os.Stat(copiedFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c := &Copied{}
	c.prove(t)
	return c
}

// Start begins to count from 0.
func (c *Copied) Start(t testing.TB) {
	t.Helper()
	c.since = copiedSoFar(t)
}

// Stop returns the bytes that were copied since Start, by whomever.
func (c *Copied) Stop(t testing.TB) uint64 {
	t.Helper()
	return copiedSoFar(t) - c.since
}

func copiedSoFar(t testing.TB) uint64 {
	t.Helper()
	text, err := os.ReadFile(copiedFile)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", copiedFile, err)
	}
	return n
}

// known is how many bytes prove copies, noise how many may be copied beside.
const (
	known = 4 << 20
	noise = known / 100
)

// prove counts copies whose size is known: read(2) brings a file to a program
// by one copy, sendfile(2) brings it to another file by one within the kernel,
// and splice(2) to nowhere by none.
func (c *Copied) prove(t testing.TB) {
	t.Helper()
	file, buf := memfile(t), make([]byte, known)
	if _, err := file.WriteAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	other := memfile(t)
	for _, x := range []struct {
		what string
		want uint64
		do   func() error
	}{
		{"read(2)", known, func() error { _, err := file.ReadAt(buf, 0); return err }},
		{"sendfile(2) to a file", known, func() error { return sendAll(other, file) }},
		{"sendfile(2) to nowhere", 0, func() error { return sendAll(null(t), file) }},
	} {
		c.Start(t)
		err := x.do()
		got := c.Stop(t)
		if err != nil {
			t.Fatalf("%s: %v", x.what, err)
		}
		if got < x.want || got > x.want+noise {
			t.Fatalf("%s copies %d bytes, and %d were counted: see package counter for the kernel and the guest that this needs", x.what, x.want, got)
		}
	}
}

// memfile is an empty file in memory.
func memfile(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("known", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "known")
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func null(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// sendAll sends known bytes.
func sendAll(to, from *os.File) error {
	for off := int64(0); off < known; {
		n, err := unix.Sendfile(int(to.Fd()), int(from.Fd()), &off, known-int(off))
		if err != nil || n == 0 {
			return fmt.Errorf("at %d: %d bytes, %w", off, n, err)
		}
	}
	return nil
}
