package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/patch"
)

// TestLoadRefusesOtherVersions reads runs that this version did not write:
// one line that says what to do, and a mistake of the user, not of runvm.
func TestLoadRefusesOtherVersions(t *testing.T) {
	t.Parallel()
	const recorded, report = `{"format": 1, "plan": []}`, `{"schema": 1, "verdict": "pass"}`
	tests := []struct{ name, recorded, report, want string }{
		{"older recorded.json", `{"format": 0, "plan": {"a": 1}}`, report, "recorded by another version of runvm (format 0, this one reads 1): run the tests again"},
		{"newer recorded.json", `{"format": 2, "plan": "?"}`, report, "(format 2, this one reads 1)"},
		{"damaged recorded.json", `{"plan": `, report, "recorded.json: unexpected end of JSON input"},
		{"other types in recorded.json", `{"plan": 7}`, report, "recorded.json: json: cannot unmarshal"},
		{"older report.json", recorded, `{"verdict": "pass"}`, "written by another version of runvm (schema 0, this one reads 1): judge the run again with 'runvm judge "},
		{"damaged report.json", recorded, `[]`, "report.json: json: cannot unmarshal"},
		{"not judged", recorded, "", "has not been judged"},
		{"not a run", "", "", "is not the directory of a run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{recordedFile: test.recorded, reportFile: test.report} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(dir)
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestLoadReadsRunsFromBeforeTheFormatHadANumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{recordedFile: `{"plan": null}`, reportFile: `{"schema": 1, "verdict": "pass"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Load(dir); err != nil || r.Verdict != verdict.Pass {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestCommandNamesWhereStandardInputIsKept(t *testing.T) {
	t.Parallel()
	b := &Built{Series: make([]patch.Series, 3)} // the first is needed by the others
	line := []string{"runvm", "test", "-patches", "x", "-patches", "-", "-run", "-"}
	got := strings.Join(typed(line, "/run/1", Kernel{Patches: []string{"x", "-"}}, b), " ")
	if got != "runvm test -patches x -patches /run/1/patches/3 -run -" || line[5] != "-" {
		t.Error(got)
	}
}
