package symbol

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// program copies the test program and returns its path and that of an index.
func program(t testing.TB) (path, cache string) {
	t.Helper()
	data, err := os.ReadFile("testdata/program.elf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, cache = filepath.Join(dir, "program.elf"), filepath.Join(dir, "index")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, cache
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// look checks that a table knows the program.
func look(t *testing.T, table *Table) {
	t.Helper()
	got, _, err := table.Look(t.Context(), Place{"outer", 0xf, 0x30, true})
	if d := cmp.Diff(inlined, got); d != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
}

func TestIndexIsKept(t *testing.T) {
	path, cache := program(t)
	look(t, open(t, path, cache))
	first := read(t, cache)
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(cache, past, past); err != nil {
		t.Fatal(err)
	}
	look(t, open(t, path, cache))
	if info, err := os.Stat(cache); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("the index was made again: %v, %v", info.ModTime(), err)
	}
	// of another state of the file it is of no use
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	look(t, open(t, path, cache))
	if bytes.Equal(first, read(t, cache)) {
		t.Error("the index of the file as it was is still there")
	}
}

func TestDamagedIndexIsMadeAgain(t *testing.T) {
	path, cache := program(t)
	look(t, open(t, path, cache))
	whole := read(t, cache)
	flipped := bytes.Clone(whole)
	flipped[len(magic)+60] ^= 1
	older := bytes.Clone(whole)
	older[len("runvm index ")] = '0'
	for name, data := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)-1], "one bit": flipped, "of another version": older, "longer": append(bytes.Clone(whole), 0),
	} {
		if err := os.WriteFile(cache, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if readIndex(cache, open(t, path, "").obj.id) != nil {
			t.Errorf("%s: the index was taken for good", name)
		}
		look(t, open(t, path, cache))
		if !bytes.Equal(whole, read(t, cache)) {
			t.Errorf("%s: the index was not made again", name)
		}
	}
}

func TestTableServesWithoutItsIndex(t *testing.T) {
	path, _ := program(t)
	look(t, open(t, path, filepath.Join(t.TempDir(), "no", "such", "folder")))
}

// FuzzIndex gives the reader of an index bytes with a right checksum, and
// searches what it makes of them.
func FuzzIndex(f *testing.F) {
	path, cache := program(f)
	open(f, path, cache)
	data := read(f, cache)
	f.Add(data[:len(data)-sumSize])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := checksum(body)
		data := append(bytes.Clone(body), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		x, id, err := decodeIndex(data)
		if err != nil {
			return
		}
		if !bytes.Equal(x.encode(id)[:len(magic)+16], data[:len(magic)+16]) {
			t.Error("another head when written again")
		}
		table := open(t, path, "")
		table.index = x
		for _, s := range append(x.named("outer"), x.symbols[:min(len(x.symbols), 8)]...) {
			_, _, _ = table.Look(t.Context(), Place{Symbol: s.name, Offset: 0xf, Return: true})
			_, _ = table.At(t.Context(), s.addr, true)
		}
	})
}
