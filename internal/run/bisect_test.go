package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/bisect"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// A toyBisect is a series of kernels that need not be built: results has a
// letter for the runs of each position, the last one for all further ones: p
// passes, f fails, x does not build, ! is an error of this machine, once.
type toyBisect struct {
	results []string
	figures []string // of the benchmark at each position, in turn; none without
	booted  []string // POSITION-RUN
	broken  bool     // the ! has come
}

func (toy *toyBisect) boot(_ context.Context, n int, dir string) (*verdict.Report, string, error) {
	name := filepath.Base(dir)
	var run int
	if _, err := fmt.Sscanf(name, fmt.Sprintf("%d-%%d", n), &run); err != nil {
		return nil, "", err
	}
	toy.booted = append(toy.booted, name)
	letters := strings.ReplaceAll(toy.results[n], "!", "")
	if letters != toy.results[n] && !toy.broken {
		toy.broken = true
		return nil, "", errors.New("no room")
	}
	r := &verdict.Report{Schema: verdict.Schema, Booted: true, Verdict: verdict.Pass, Run: verdict.Run{Dir: dir}}
	switch letters[min(run, len(letters))-1] {
	case 'f':
		r.Verdict, r.Reason = verdict.Fail, "wrong"
	case 'x':
		return nil, "", fmt.Errorf("build: %w", &kernel.BuildError{Tree: "toy"})
	}
	r.Programs = []verdict.Program{{ID: "p", Verdict: r.Verdict, Reached: true}}
	return r, "key", errors.Join(os.MkdirAll(dir, 0o755),
		writeJSON(filepath.Join(dir, recordedFile), recorded{Format: recordedFormat}), writeJSON(filepath.Join(dir, reportFile), r))
}

// bisect carries one out with toy, in dir.
func (toy *toyBisect) bisect(dir, key string) (*bisect.Result, error) {
	full := &Built{Image: &kernel.Image{}, Tree: &source.Tree{}, Base: &source.Tree{ID: key}}
	for n := range len(toy.results) - 1 {
		full.Applied = append(full.Applied, patch.Applied{Name: fmt.Sprintf("%d.patch", n+1), Tree: fmt.Sprint(n + 1)})
	}
	full.Key = key
	s := &bisection{Bisect: Bisect{Count: 2, Out: dir, Threshold: 0.05}, c: &Conductor{}, full: full, base: full.Base, suite: full.Applied, progs: &programs{}, boot: toy.boot, figures: toy.figured}
	if toy.figures != nil {
		s.Count, s.Plan.Select.Bench = 4, "."
	}
	return s.carryOut(context.Background())
}

// figured is what the benchmark wrote in the run in dir.
func (toy *toyBisect) figured(dir string) (map[string]string, error) {
	var n, run int
	if _, err := fmt.Sscanf(filepath.Base(dir), "%d-%d", &n, &run); err != nil {
		return nil, err
	}
	all := strings.Fields(toy.figures[n])
	return map[string]string{"p": "BenchmarkB 1 " + all[(run-1)%len(all)] + " ns/op 7 x/op\n"}, nil
}

// marks are the steps of r, "0 good 2" with the number of runs.
func marks(r *bisect.Result) []string {
	var all []string
	for _, s := range r.Steps {
		all = append(all, fmt.Sprintf("%d %s %d", s.Position, s.Mark, len(s.Dirs)))
	}
	return all
}

func TestBisect(t *testing.T) {
	for name, tc := range map[string]struct {
		results     []string
		first, last int
		steps       []string
	}{
		"one patch":        {[]string{"p", "f"}, 1, 1, []string{"0 good 2", "1 bad 2"}},
		"the third":        {[]string{"p", "p", "p", "f", "f"}, 3, 3, []string{"0 good 2", "2 good 2", "3 bad 2", "4 bad 2"}},
		"a skip goes by":   {[]string{"p", "p", "x", "f", "f"}, 2, 3, []string{"0 good 2", "1 good 2", "2 skip 0", "3 bad 2", "4 bad 2"}},
		"only skips":       {[]string{"p", "x", "x", "f"}, 1, 3, []string{"0 good 2", "1 skip 0", "2 skip 0", "3 bad 2"}},
		"not unanimous":    {[]string{"p", "pf", "f", "f"}, 1, 1, []string{"0 good 2", "1 bad 4", "3 bad 2"}},
		"one failure only": {[]string{"p", "fp", "f", "f"}, 2, 2, []string{"0 good 2", "1 good 4", "2 bad 2", "3 bad 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			toy := toyBisect{results: tc.results}
			r, err := toy.bisect(t.TempDir(), "k")
			if err != nil {
				t.Fatal(err)
			}
			if r.First != tc.first || r.Last != tc.last {
				t.Errorf("culprit in %d to %d, want %d to %d", r.First, r.Last, tc.first, tc.last)
			}
			if diff := cmp.Diff(tc.steps, marks(r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBisectForABenchmark(t *testing.T) {
	toy := toyBisect{
		results: []string{"p", "p", "x", "p", "p"},
		figures: []string{"10 11 10 12", "11 12 11 10", "", "14 15 15 14", "15 14 16 15"},
	}
	r, err := toy.bisect(t.TempDir(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0 good 4", "1 good 4", "2 skip 0", "3 bad 4", "4 bad 4"}, marks(r)); diff != "" {
		t.Error(diff)
	}
	if want := "BenchmarkB of p: 10.50n sec/op on the base, 15.00n sec/op with all patches"; r.First != 2 || r.Last != 3 || r.Symptom.String() != want {
		t.Errorf("culprit in %d to %d for %v, want 2 to 3 for %s", r.First, r.Last, r.Symptom, want)
	}
	if r.Steps[3].Reason != "14.00n sec/op" {
		t.Errorf("a bad run gave %q", r.Steps[3].Reason)
	}
	same := toyBisect{results: []string{"p", "p"}, figures: []string{"10 11 10 12", "10 11 11 12"}}
	if _, err := same.bisect(t.TempDir(), "k"); err == nil || !strings.Contains(err.Error(), "no benchmark is worse than on the base by 5 % and beyond chance") {
		t.Errorf("without a difference: %v", err)
	}
	none := toyBisect{results: []string{"p", "p"}, figures: []string{"10 11 10 12", "9 9 8 7"}}
	if _, err := none.bisect(t.TempDir(), "k"); err == nil {
		t.Error("a benchmark that is better was taken for a symptom")
	}
}

func TestBisectChecksItsEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		results []string
		want    string
	}{
		"nothing is wrong":    {[]string{"p", "p"}, "with all patches is not bad: 2 of 2 runs show nothing wrong"},
		"always was":          {[]string{"f", "f"}, "the base is bad already: bad in 2 of 2"},
		"chance":              {[]string{strings.Repeat("pf", 20), strings.Repeat("pf", 20)}, "the ends do not differ beyond chance"},
		"base does not build": {[]string{"x", "f"}, "with 0 patches: build"},
	} {
		toy := toyBisect{results: tc.results}
		if _, err := toy.bisect(t.TempDir(), "k"); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

func TestInterruptedBisectGoesOn(t *testing.T) {
	dir := t.TempDir()
	toy := toyBisect{results: []string{"p", "p", "p", "f!", "f"}}
	if _, err := toy.bisect(dir, "k"); err == nil || !strings.Contains(err.Error(), "with 3 patches: no room") {
		t.Fatalf("error %v, want that of this machine", err)
	}
	if _, err := toy.bisect(dir, "another"); !errors.Is(err, ErrUsage) {
		t.Errorf("another bisection in the same folder: error %v, want a usage error", err)
	}
	before := len(toy.booted)
	r, err := toy.bisect(dir, "k")
	if err != nil {
		t.Fatal(err)
	}
	if r.First != 3 || r.Last != 3 {
		t.Errorf("culprit in %d to %d, want 3", r.First, r.Last)
	}
	if diff := cmp.Diff([]string{"3-1", "3-2"}, toy.booted[before:]); diff != "" {
		t.Errorf("what was run after the interruption: %s", diff)
	}
	again := len(toy.booted)
	if _, err := toy.bisect(dir, "k"); err != nil || len(toy.booted) != again {
		t.Errorf("a finished bisection ran %v once more (%v)", toy.booted[again:], err)
	}
}

func TestBisectLeavesTheBaseOut(t *testing.T) {
	full := &Built{Base: &source.Tree{ID: "0"}, Applied: []patch.Applied{{Series: "base", Tree: "1"}, {Series: "base", Tree: "2"}, {Series: "fix", Tree: "3"}}}
	s := &bisection{Bisect: Bisect{Base: []string{"base"}}, full: full}
	s.base, s.suite = s.split()
	if s.tree(0) != "2" || s.tree(1) != "3" || s.last() != 1 || full.Base.ID != "0" {
		t.Errorf("base %s, %d in question", s.base.ID, s.last())
	}
}

func TestBisectLeavesOtherFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	toy := toyBisect{results: []string{"p", "f"}}
	if _, err := toy.bisect(dir, "k"); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("error %v, want that the folder is not empty", err)
	}
}
