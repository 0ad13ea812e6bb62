package symbol

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t testing.TB, path, cache string) *Table {
	t.Helper()
	table, err := Open(t.Context(), path, cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

var (
	inOuter = Frame{Func: "outer", File: "one.c", Line: 38}
	inlined = []Frame{
		{Func: "deepest", File: "one.c", Line: 26, Inlined: true},
		{Func: "deeper", File: "one.c", Line: 31, Inlined: true},
		inOuter,
	}
)

func TestLook(t *testing.T) {
	for _, file := range []string{"program.elf", "module.ko"} {
		table := open(t, filepath.Join("testdata", file), "")
		for _, c := range []struct {
			name  string
			place Place
			want  []Frame
		}{
			{"the call, not what comes after it", Place{"outer", 0x5, 0x30, true}, []Frame{{"outer", "one.c", 36, false}}},
			{"the instruction itself", Place{"outer", 0x5, 0x30, false}, inlined[1:]},
			{"functions put into one another", Place{"outer", 0xf, 0x30, true}, inlined},
			{"a call that never returns, at the end", Place{"outer", 0x30, 0x30, true}, []Frame{{"outer", "one.c", 40, false}}},
			{"the size without padding", Place{"same", 0x1, 0xa, false}, []Frame{{"same", "one.c", 20, false}}},
			{"the start of a function", Place{"twin", 0, 0xa, true}, []Frame{{"twin", "one.c", 14, false}}},
		} {
			got, doubt, err := table.Look(t.Context(), c.place)
			if file == "program.elf" && c.place.Symbol == "same" {
				if doubt != "2 functions have this name and size" || got != nil {
					t.Errorf("%s: %s: got %v, doubt %q", file, c.name, got, doubt)
				}
				continue
			}
			if d := cmp.Diff(c.want, got); d != "" || doubt != "" || err != nil {
				t.Errorf("%s: %s: doubt %q, error %v (-want +got):\n%s", file, c.name, doubt, err, d)
			}
		}
	}
}

func TestFunctionsOfOneName(t *testing.T) {
	table := open(t, "testdata/program.elf", "")
	for _, c := range []struct {
		name  string
		place Place
		want  string // file:line of the last frame, "" for none
		doubt string
	}{
		{"told apart by their size", Place{"twin", 0x1, 0x20, false}, "two.c", ""},
		{"told apart by their other size", Place{"twin", 0x1, 0x10, false}, "one.c", ""},
		{"of two files, at one line of a header", Place{"shared", 0x3, 0x30, false}, "shared.h", ""},
		{"not told apart", Place{"same", 0x1, 0x10, false}, "", "2 functions have this name and size"},
		{"one, of another size", Place{"outer", 0x5, 0x44, true}, "one.c", "0x44 bytes long in the log, 0x30 in the file"},
	} {
		got, doubt, err := table.Look(t.Context(), c.place)
		file := ""
		if len(got) > 0 {
			file = got[len(got)-1].File
		}
		if err != nil || doubt != c.doubt || file != c.want {
			t.Errorf("%s: %v, doubt %q, error %v", c.name, got, doubt, err)
		}
	}
}

func TestUnknownPlaces(t *testing.T) {
	table := open(t, "testdata/program.elf", "")
	for _, p := range []Place{
		{"nowhere", 0x5, 0x30, true}, // no such function
		{"", 0, 0, true},
		{"twin", 0x5, 0x77, true},         // none of this size
		{"outer", 0x31, 0x30, true},       // behind its end
		{"outer", 1 << 63, 1 << 63, true}, // far behind it
		{"outer", 0x40, 0x44, true},
	} {
		if got, doubt, err := table.Look(t.Context(), p); !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v: %v, doubt %q, error %v", p, got, doubt, err)
		}
	}
	for _, addr := range []uint64{0, 1, 0x400fff, 0x500000, 1<<64 - 1} {
		if got, err := table.At(t.Context(), addr, false); !errors.Is(err, ErrUnknown) {
			t.Errorf("%#x: %v, %v", addr, got, err)
		}
	}
}

func TestAt(t *testing.T) {
	table := open(t, "testdata/program.elf", "")
	got, err := table.At(t.Context(), 0x40106f, true)
	if d := cmp.Diff(inlined, got); d != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
	// a return address may lie in the function after the one that called
	got, err = table.At(t.Context(), 0x401090, true)
	if err != nil || len(got) != 1 || got[0].Func != "outer" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile("testdata/program.elf")
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	half := filepath.Join(dir, "half")
	bare := filepath.Join(dir, "bare")
	renamed := strings.ReplaceAll(string(whole), ".debug_", ".derug_")
	for path, data := range map[string]string{text: "text\n", half: string(whole[:len(whole)/2]), bare: renamed} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{
		text: ErrDamaged, half: ErrDamaged, bare: ErrNoDebugInfo, filepath.Join(dir, "none"): fs.ErrNotExist,
	} {
		_, err := Open(t.Context(), path, "")
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want %v", path, err, want)
		}
	}
	if _, err := Open(t.Context(), dir, ""); err == nil {
		t.Error("a folder was opened")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(over, "testdata/program.elf", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("out of time: %v", err)
	}
}

// TestFileThatShrinks has the file cut off while it is mapped.
func TestFileThatShrinks(t *testing.T) {
	data, err := os.ReadFile("testdata/program.elf")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program.elf")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	table := open(t, path, "")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if got, _, err := table.Look(t.Context(), Place{"outer", 0x5, 0x30, true}); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, %v", got, err)
	}
}
