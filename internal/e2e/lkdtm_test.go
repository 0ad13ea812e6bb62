//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
)

var (
	catalogue = flag.Bool("catalogue", false, "provoke every crash that LKDTM knows (make lkdtm)")
	update    = flag.Bool("update", false, "with -catalogue: write the table into docs/lkdtm.md")
	image     = flag.String("kernel", "", "with -catalogue: a vmlinux of the debug profile, instead of one built with the main job's series")
)

// guestSuite provokes the crashes.
const guestSuite = "./internal/e2e/lkdtm"

// TestLKDTM makes the kernel crash in every way its own crash module knows, a
// guest for each, and holds what runvm says of it against the catalogue.
func TestLKDTM(t *testing.T) {
	if !*catalogue {
		t.Skip("takes half an hour: make lkdtm")
	}
	kinds, kernel := crashTypes(t)
	rows := make([]row, len(kinds))
	t.Run("type", func(t *testing.T) {
		for i, kind := range kinds {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				r := provoked(t, kind)
				var problems []string
				rows[i], problems = compare(r)
				for _, p := range problems {
					t.Error(p)
				}
			})
		}
	})
	release, _, _ := strings.Cut(kernel, " ")
	text := fmt.Sprintf("Linux %s, profile `debug`, %d types:\n\n%s", release, len(rows), render(rows))
	fmt.Println(text)
	if *update && !t.Failed() {
		writeTable(t, filepath.Join(repository(t), tablePath), text)
	}
}

// judged runs the guest suite's tests that pattern names and returns what is
// in the run's folder.
func judged(t *testing.T, pattern string, clocks ...string) (r run, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	kernel := []string{"-kernel", *image}
	if *image == "" {
		kernel = []string{"-patches", series(t), "-profile", "debug"}
	}
	args := slices.Concat([]string{"test", "-o", dir, "-run", pattern}, kernel, clocks, []string{guestSuite})
	cmd := exec.Command(filepath.Join(repository(t), "runvm"), args...)
	cmd.Dir = repository(t)
	out, err := cmd.CombinedOutput()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("runvm %s: %v\n%s\nconsole: … %s", strings.Join(args, " "), err, out, r.console[max(0, len(r.console)-8<<10):])
		}
	})
	data := read(t, filepath.Join(dir, "report.json"))
	if err := json.Unmarshal(data, &r.report); err != nil {
		t.Fatal(err)
	}
	r.console = read(t, filepath.Join(dir, "console.log"))
	return r, dir
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// announced is how the guest suite tells of a type, in events.json.
var announced = regexp.MustCompile(`crash type ([A-Z0-9_]+)\\n`)

// crashTypes asks the kernel which types it has.
func crashTypes(t *testing.T) (kinds []string, kernel string) {
	t.Helper()
	r, dir := judged(t, "^TestTypes$")
	if r.report.Verdict != verdict.Pass {
		t.Fatalf("list crash types: %s: %s", r.report.Verdict, r.report.Reason)
	}
	for _, m := range announced.FindAllSubmatch(read(t, filepath.Join(dir, "events.json")), -1) {
		kinds = append(kinds, string(m[1]))
	}
	if len(kinds) < 20 {
		t.Fatalf("list crash types: %d, LKDTM has more: %s", len(kinds), kinds)
	}
	return kinds, r.report.Uname
}

// provoked runs one type in a guest of its own.
func provoked(t *testing.T, kind string) run {
	r, _ := judged(t, "^TestProvoke$/^"+kind+"$", clocks(kind)...)
	r.kind = kind
	return r
}

// clocks bound the runs: those that hang are to end soon, HUNG_TASK is noticed
// only after half a minute, and some types need a second CPU to watch.
func clocks(kind string) []string {
	switch kind {
	case "HUNG_TASK":
		return []string{"-silence", "120s", "-timeout", "180s"}
	case "HARDLOCKUP", "SMP_CALL_LOCKUP":
		return []string{"-silence", "60s", "-timeout", "180s", "-cpus", "2"}
	}
	return []string{"-silence", "40s", "-timeout", "150s"}
}

// render is the table as Markdown.
func render(rows []row) string {
	var b strings.Builder
	b.WriteString("| type | expected | runvm reports | guilty | why |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Type, r.Expected, cell(r.Reported), cell(r.Guilty), r.Why)
	}
	return b.String()
}

// cell makes s harmless in a table.
func cell(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.NewReplacer("|", `\|`, "`", "'", "\n", " ").Replace(s) + "`"
}

// tableEnd is the line before which the table ends.
const tableEnd = "<!-- end -->"

// splice puts text between the marks of doc.
func splice(doc, text string) (string, error) {
	before, rest, ok := strings.Cut(doc, tableStart)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s: no %q and %q", tablePath, tableStart, tableEnd)
	}
	return before + tableStart + "\n\n" + text + "\n" + tableEnd + after, nil
}

// writeTable writes the table into docs.
func writeTable(t *testing.T, file, text string) {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := splice(string(doc), text)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}
