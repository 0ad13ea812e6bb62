package source

import (
	"testing"

	"github.com/runvm/runvm/internal/sh"
)

func TestReaderReadsFilesAndNothingElse(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	r, err := tree.Reader(t.Context(), sh.Runner{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for name, want := range map[string]string{
			"fs/kept.gen": "tracked, though ignored\n", "arch/x86/Kconfig": "", "fs/splice.c": "int splice;\n/* $Id$ */\n",
		} {
			if text, ok := r.Read(name); !ok || string(text) != want {
				t.Errorf("%s: %q, %v", name, text, ok)
			}
		}
		for _, name := range []string{"fs", "gone", "fs/gone missing", "../x", "a\nb", "", "fs/splice.c/x"} {
			if text, ok := r.Read(name); ok {
				t.Errorf("%q: %q, want none", name, text)
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
