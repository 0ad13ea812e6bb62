package console

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestFormats reads one report of each form that kernels of all architectures
// print.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, f := range formats(t) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			var want, got, log []string
			for line := range strings.Lines(string(f.Data)) {
				if w, ok := strings.CutPrefix(line, "= "); ok {
					want = append(want, strings.TrimSpace(w))
				} else if !strings.HasPrefix(line, "# ") {
					log = append(log, line)
				}
			}
			for _, c := range Find([]byte(strings.Join(log, ""))) {
				got = append(got, string(c.Kind)+" "+c.Title)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// formats are the logs of both collections.
func formats(t *testing.T) []txtar.File {
	t.Helper()
	var all []txtar.File
	for _, name := range []string{"testdata/formats.txtar", "testdata/machines.txtar"} {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.Files) == 0 {
			t.Fatalf("%s: no formats", name)
		}
		all = append(all, archive.Files...)
	}
	return all
}
