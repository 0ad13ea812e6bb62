package console

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An expected is what the header of a log of the shared collection promises.
type expected struct {
	titles    []string // TITLE and its ALTs; empty when there must be no crash
	kind      string
	corrupted bool
}

// readExpected takes the header off a log.
func readExpected(data []byte) (want expected, log []byte) {
	head, log, _ := bytes.Cut(data, []byte("\n\n"))
	for _, l := range strings.Split(string(head), "\n") {
		key, value, _ := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		switch {
		case (key == "TITLE" || key == "ALT") && value != "":
			want.titles = append(want.titles, value)
		case key == "TYPE":
			want.kind = value
		case key == "CORRUPTED":
			want.corrupted = value == "Y"
		}
	}
	log, _, _ = bytes.Cut(log, []byte("\nREPORT:"))
	return want, log
}

// A score counts hits of tries.
type score struct{ hits, tries int }

func (s *score) add(hit bool) {
	s.tries++
	if hit {
		s.hits++
	}
}

func (s *score) percent() float64 { return 100 * float64(s.hits) / float64(max(1, s.tries)) }

// TestScore reads real logs with expected titles that are not part of this
// repository and prints how many were read right.
func TestScore(t *testing.T) {
	dir := os.Getenv("RUNVM_KERNEL_LOGS")
	if dir == "" {
		t.Skip("RUNVM_KERNEL_LOGS does not name a folder of kernel logs with expected titles")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs in %s: %v", dir, err)
	}
	var found, quiet, kinds, titles score
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, log := readExpected(data)
		crashes := Find(log)
		name := filepath.Base(file)
		if len(want.titles) == 0 {
			quiet.add(len(crashes) == 0)
			if len(crashes) > 0 {
				t.Logf("%s: found %q where there is none", name, crashes[0].Title)
			}
			continue
		}
		found.add(len(crashes) > 0)
		got := Crash{}
		if len(crashes) > 0 {
			got = crashes[0]
		}
		if want.kind != "" {
			kinds.add(string(got.Kind) == want.kind)
			if string(got.Kind) != want.kind {
				t.Logf("%s: kind %q, want %q (%s)", name, got.Kind, want.kind, got.Title)
			}
		}
		if !want.corrupted {
			titles.add(contains(want.titles, got.Title))
			if !contains(want.titles, got.Title) {
				t.Logf("%s: title %q, want %q", name, got.Title, want.titles)
			}
		}
	}
	t.Logf("crash found in %.1f %% of %d, none found in %.1f %% of %d without one, kind right in %.1f %% of %d, title right in %.1f %% of %d",
		found.percent(), found.tries, quiet.percent(), quiet.tries, kinds.percent(), kinds.tries, titles.percent(), titles.tries)
	if found.percent() < 99 || quiet.percent() < 100 || kinds.percent() < 97 || titles.percent() < 92 {
		t.Error("below the bar: 99 % found, none where there is none, 97 % of kinds, 92 % of titles")
	}
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}
