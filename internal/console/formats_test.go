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
	archive, err := txtar.ParseFile("testdata/formats.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) == 0 {
		t.Fatal("no formats")
	}
	for _, f := range archive.Files {
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
