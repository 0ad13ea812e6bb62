package readtest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// sizeCases are about where files end, and about holes in them.
func sizeCases() []Case {
	return slices.Concat(
		about(everywhere(), false, map[string]func(t *testing.T, c config){
			"ReadsEndAtEndOfFile":            readsEndAtEndOfFile,
			"MapEndsWithZeroesAndThenSIGBUS": mapEndsWithZeroesAndThenSIGBUS,
		}),
		about(everywhere(), true, map[string]func(t *testing.T, c config){
			"FileThatEndsEarlyHasNothingBehindItsEnd": fileThatEndsEarlyHasNothingBehindItsEnd,
		}),
		about(onFiles(), false, map[string]func(t *testing.T, c config){
			"HolesReadAsZeroes":                  holesReadAsZeroes,
			"TruncateDropsTheTail":               truncateDropsTheTail,
			"TruncateOfAMappedFileTakesItsPages": truncateOfAMappedFileTakesItsPages,
			"FileCutBehindTheKernelIsShort":      fileCutBehindTheKernelIsShort,
		}))
}

func readsEndAtEndOfFile(t *testing.T, c config) {
	f := makeFile("f", 20, 2*int64(guest.PageSize())+100)
	m := start(t, c, f)
	h := m.open(f.Name)
	b := make([]byte, 64<<10)
	for _, off := range []int64{0, 1, f.Size - 101, f.Size - 100, f.Size - 1, f.Size, f.Size + 1, f.Size + mib} {
		want := max(f.Size-off, 0)
		n, err := h.ReadAt(b, off)
		if int64(n) != want || err != io.EOF {
			t.Errorf("read at %d of %d: %d bytes, %v; want %d, EOF", off, f.Size, n, err, want)
		}
		same(t, f.Of, b[:n], off)
	}
}

func mapEndsWithZeroesAndThenSIGBUS(t *testing.T, c config) {
	page := int64(guest.PageSize())
	f := makeFile("f", 21, page+100)
	m := start(t, c, f)
	mem := mapFile(t, m.open(f.Name), 3*page, unix.PROT_READ, unix.MAP_SHARED)
	same(t, f.Of, mem[:f.Size], 0)
	zero(t, mem[f.Size:2*page], f.Size)
	if err := touch(mem, int(2*page)); err == nil {
		t.Error("a page behind the end of file can be read")
	}
}

// touch reads a byte of a mapping; a fault is an error.
func touch(mem []byte, i int) error {
	return faulting(func() { sink(mem[i]) })
}

// faulting runs do, which touches a mapping; a fault is an error.
func faulting(do func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault, ok := recover().(error); ok {
			err = fault
		}
	}()
	do()
	return nil
}

// sink makes a read of its argument happen.
//
//go:noinline
func sink(byte) {}

func fileThatEndsEarlyHasNothingBehindItsEnd(t *testing.T, c config) {
	page := int64(guest.PageSize())
	for _, data := range []int64{0, 100, page, 5*page + 1, 33*page - 1} {
		t.Run(strconv.FormatInt(data, 10), func(t *testing.T) { endEarly(t, c, data) })
	}
}

// endEarly reads a file that ends after data bytes while the kernel believes
// in more.
func endEarly(t *testing.T, c config, data int64) {
	f := makeFile("f", 22, 300<<10)
	if c.Loopback == "" {
		f.Data = data
	}
	m := start(t, c, f)
	h := m.open(f.Name)
	if c.Loopback != "" {
		if err := os.Truncate(filepath.Join(m.backing, f.Name), data); err != nil {
			t.Fatal(err)
		}
	}
	got := readAll(t, h, mib)
	if int64(len(got)) < data {
		t.Fatalf("read %d bytes of %d", len(got), data)
	}
	same(t, f.Of, got[:data], 0)
	zero(t, got[data:], data)
	// The short answer has told the kernel where the file ends.
	again := readAll(t, h, mib)
	if int64(len(again)) != data {
		t.Errorf("second read: %d bytes, the file has %d", len(again), data)
	}
	m.askedFor(min(1, data))
}

func holesReadAsZeroes(t *testing.T, c config) {
	const from, to, size = 200<<10 + 17, 900 << 10, mib
	f := makeFile("f", 23, size)
	f.Data = from
	m := start(t, c, f)
	tail := make([]byte, size-to)
	_, _ = f.Of.ReadAt(tail, to) // never fails
	behind, err := os.OpenFile(filepath.Join(m.backing, f.Name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = behind.Close() }()
	if _, err := behind.WriteAt(tail, to); err != nil {
		t.Fatal(err)
	}
	h := m.open(f.Name)
	got := readAll(t, h, mib)
	if len(got) != size {
		t.Fatalf("read %d bytes of %d", len(got), size)
	}
	same(t, f.Of, got[:from], 0)
	zero(t, got[from:to], from)
	same(t, f.Of, got[to:], to)
	page := int64(guest.PageSize())
	first, last := (from+page-1)/page*page, to/page*page // pages of the hole alone
	if at, err := unix.Seek(int(h.Fd()), first, unix.SEEK_DATA); err != nil || at != last {
		t.Errorf("next data after %d: %d, %v; want %d", first, at, err, last)
	}
}

func truncateDropsTheTail(t *testing.T, c config) {
	f := makeFile("f", 24, 300<<10)
	m := start(t, c, f)
	h := m.openFlags(f.Name, os.O_RDWR)
	same(t, f.Of, readAll(t, h, mib), 0)
	const short = 100<<10 + 77
	if err := h.Truncate(short); err != nil {
		t.Fatal(err)
	}
	if n := guest.ResidentPages(t, h); n > pages(short) {
		t.Errorf("%d pages are cached of a file of %d bytes", n, short)
	}
	got := readAll(t, h, mib)
	if len(got) != short {
		t.Errorf("read %d bytes of a file cut at %d", len(got), short)
	}
	same(t, f.Of, got, 0)
	if err := h.Truncate(f.Size); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"cached", "evicted"} {
		t.Log(when)
		got = readAll(t, h, mib)
		if int64(len(got)) != f.Size {
			t.Fatalf("read %d bytes of a file grown to %d", len(got), f.Size)
		}
		same(t, f.Of, got[:short], 0)
		zero(t, got[short:], short)
		guest.Evict(t, h)
	}
}

func truncateOfAMappedFileTakesItsPages(t *testing.T, c config) {
	page := int64(guest.PageSize())
	f := makeFile("f", 25, 4*page)
	m := start(t, c, f)
	h := m.openFlags(f.Name, os.O_RDWR)
	mem := mapFile(t, h, f.Size, unix.PROT_READ, unix.MAP_SHARED)
	same(t, f.Of, mem, 0)
	if err := h.Truncate(page + 10); err != nil {
		t.Fatal(err)
	}
	same(t, f.Of, mem[:page+10], 0)
	zero(t, mem[page+10:2*page], page+10)
	if err := touch(mem, int(2*page)); err == nil {
		t.Error("a page that was cut off can be read")
	}
}

func fileCutBehindTheKernelIsShort(t *testing.T, c config) {
	c.Valid, c.KeepCache = 0, true // ask for the size at each read
	f := makeFile("f", 26, 300<<10)
	m := start(t, c, f)
	h := m.open(f.Name)
	same(t, f.Of, readAll(t, h, mib), 0)
	const short = 50<<10 + 1
	if err := os.Truncate(filepath.Join(m.backing, f.Name), short); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, h, mib)
	if len(got) != short {
		t.Errorf("read %d bytes of a file cut at %d", len(got), short)
	}
	same(t, f.Of, got, 0)
	if n, err := h.ReadAt(make([]byte, 10), short); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read behind the end: %d bytes, %v", n, err)
	}
}
