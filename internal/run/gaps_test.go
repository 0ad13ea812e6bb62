package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/kernel"
)

func TestPatchesThatAreNotCompiledAreNamed(t *testing.T) {
	t.Parallel()
	built := newToyTree(t).built(t, map[string]string{
		"1.patch": edit("fs/a.c", 3, "int used;"),
		"2.patch": edit("fs/b.c", 3, "int unused;"),
		"3.patch": edit("fs/a.c", 8, "#ifdef CONFIG_C\n+int unused;\n+#endif"),
	})
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("CONFIG_A=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	built.Image = &kernel.Image{Config: config, Dir: filepath.Dir(config)}
	c := &Conductor{}
	gaps, err := c.gaps(t.Context(), built)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range applied(built.Applied, gaps) {
		for _, g := range p.NotCompiled {
			got = append(got, p.Name+": "+g.String())
		}
	}
	want := []string{
		"2.patch: fs/b.c is not compiled: not built (CONFIG_B is not set)",
		"3.patch: fs/a.c:11 is not compiled: inside #ifdef CONFIG_C (CONFIG_C is not set)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// What is remembered is of these patches alone.
	if again, err := c.gaps(t.Context(), built); err != nil || cmp.Diff(gaps, again) != "" {
		t.Errorf("again: %v, %v", again, err)
	}
	built.Tree.ID, built.Applied = built.Applied[1].Tree, built.Applied[:2]
	if fewer, err := c.gaps(t.Context(), built); err != nil || len(fewer) != 2 {
		t.Errorf("of two patches: %v, %v", fewer, err)
	}
}
