package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// A toyTree is a kernel tree of a few lines and the patches on it.
type toyTree struct {
	dir   string // of the sources
	cache string
}

// newToyTree writes a tree in which b.c waits for CONFIG_B.
func newToyTree(t *testing.T) *toyTree {
	t.Helper()
	toy := &toyTree{dir: filepath.Join(t.TempDir(), "linux"), cache: t.TempDir()}
	writeFiles(t, toy.dir, map[string]string{
		"Makefile":    "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n",
		"Kconfig":     "config B\n\tbool\n",
		"Kbuild":      "obj-y += fs/\n",
		"fs/Makefile": "obj-y += a.o\nobj-$(CONFIG_B) += b.o\n",
		"fs/a.c":      lines("a", 20),
		"fs/b.c":      lines("b", 20),
	})
	return toy
}

// lines is a file of n numbered lines.
func lines(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "int %s%d;\n", name, i+1)
	}
	return b.String()
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// edit is a patch that puts line after line at of a file made by lines.
func edit(file string, at int, line string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".c")
	return fmt.Sprintf("Subject: [PATCH] change %[1]s\n\n---\ndiff --git a/%[1]s b/%[1]s\n--- a/%[1]s\n+++ b/%[1]s\n@@ -%[2]d,2 +%[2]d,%[6]d @@\n int %[4]s%[2]d;\n+%[3]s\n int %[4]s%[5]d;\n",
		file, at, line, name, at+1, 3+strings.Count(line, "\n"))
}

// built is the toy with patches, texts by file name, in it.
func (toy *toyTree) built(t *testing.T, patches map[string]string) *Built {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, patches)
	store := &source.Store{Dir: filepath.Join(toy.cache, "source")}
	base, err := store.Get(t.Context(), toy.dir)
	if err != nil {
		t.Fatal(err)
	}
	series, err := patch.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	b := &Built{Base: base}
	if b.Tree, b.Applied, err = patch.Apply(t.Context(), store.Sh, base, series, 0, nil); err != nil {
		t.Fatal(err)
	}
	return b
}
