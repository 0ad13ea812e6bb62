package source

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func TestExtractWritesWhatIsNamed(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	all := toy("1")
	for _, test := range []struct{ paths, want []string }{
		{nil, nil}, // all
		{[]string{"fs/splice.c", "scripts"}, []string{"fs/splice.c", "scripts/run.sh"}},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		if err := Extract(t.Context(), sh.Runner{}, tree, dir, test.paths...); err != nil {
			t.Fatal(err)
		}
		want := all
		if test.want != nil {
			want = map[string]string{}
			for _, name := range test.want {
				want[name] = all[name]
			}
		}
		if diff := cmp.Diff(want, read(t, dir)); diff != "" {
			t.Errorf("%q (-tree +written):\n%s", test.paths, diff)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	full := t.TempDir()
	write(t, full, map[string]string{"mine": "kept\n"})
	for _, test := range []struct{ dir, path, want string }{
		{full, "fs", "the folder is not empty"},
		{t.TempDir(), "drivers", "did not match any file"},
		{t.TempDir(), "../x", "outside repository"},
		{t.TempDir(), "*.c", "did not match any file"},
	} {
		err := Extract(t.Context(), sh.Runner{}, tree, test.dir, test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
	if diff := cmp.Diff(map[string]string{"mine": "kept\n"}, read(t, full)); diff != "" {
		t.Errorf("the folder that was refused has changed:\n%s", diff)
	}
}
