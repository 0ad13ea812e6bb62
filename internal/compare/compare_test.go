package compare

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

// run makes a run from words: "a:pass b:fail !WARNING in f ?allowed title",
// "noboot", "broken". The program is "p".
func run(words ...string) Run {
	r := &verdict.Report{Booted: true, Verdict: verdict.Pass, Run: verdict.Run{Dir: "dir"}}
	p := verdict.Program{ID: "x/p", Verdict: verdict.Pass, Reached: true}
	for _, w := range words {
		switch {
		case w == "noboot":
			r.Booted, r.Verdict, p.Reached = false, verdict.Crash, false
		case w == "broken":
			r.Verdict = verdict.Broken
		case w == "hang":
			r.Verdict = verdict.Hang
		case w[0] == '!' || w[0] == '?':
			c := verdict.Complaint{Crash: console.Crash{Title: w[1:]}}
			if w[0] == '?' {
				c.Allowed = &verdict.Allowed{Title: w[1:]}
			} else {
				r.Verdict = verdict.Crash
			}
			r.Crashes = append(r.Crashes, c)
		default:
			name, v, _ := strings.Cut(w, ":")
			t := verdict.Test{Name: name, Verdict: verdict.Verdict(v), Reached: true, Reason: "because " + v}
			if v == "unreached" {
				t.Verdict, t.Reached = verdict.Incomplete, false
			}
			p.Tests = append(p.Tests, t)
			if t.Verdict != verdict.Skipped {
				p.Verdict = verdict.Worse(p.Verdict, t.Verdict)
			}
		}
	}
	if len(p.Tests) == 1 && p.Tests[0].Verdict == verdict.Skipped {
		p.Verdict = verdict.Skipped
	}
	r.Programs = []verdict.Program{p}
	r.Verdict = verdict.Worse(r.Verdict, p.Verdict)
	return Run{Report: r}
}

// times is n runs of the same.
func times(n int, words ...string) []Run {
	var runs []Run
	for range n {
		runs = append(runs, run(words...))
	}
	return runs
}

func join(parts ...[]Run) []Run {
	var all []Run
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// lines are the changes of r, one a line, "*" before a regression.
func lines(r *Result) []string {
	got := []string{}
	for _, c := range r.Changes {
		mark := ""
		if c.Regression {
			mark = "*"
		}
		got = append(got, fmt.Sprintf("%s%s %s: %v -> %v", mark, c.Kind, c.Item, &c.Base, &c.Patched))
	}
	return got
}

func TestSides(t *testing.T) {
	type sides struct{ base, patched []Run }
	for name, tc := range map[string]struct {
		sides
		want []string
		exit int
	}{
		"same":             {sides{times(3, "a:pass", "b:fail"), times(3, "a:pass", "b:fail")}, nil, 0},
		"newly failing":    {sides{times(3, "a:pass"), times(3, "a:fail")}, []string{"*newly failing p a: ok 3 -> fail 3 of 3"}, 1},
		"once is enough":   {sides{times(1, "a:pass"), times(1, "a:fail")}, []string{"*newly failing p a: ok 1 -> fail 1 of 1"}, 1},
		"fails sometimes":  {sides{times(3, "a:pass"), join(times(2, "a:pass"), times(1, "a:fail"))}, []string{"*newly failing p a: ok 3 -> fail 1 of 3"}, 1},
		"newly passing":    {sides{times(3, "a:fail"), times(3, "a:pass")}, []string{"newly passing p a: fail 3 of 3 -> ok 3"}, 0},
		"flaky before":     {sides{join(times(1, "a:fail"), times(2, "a:pass")), times(3, "a:pass")}, []string{"flaky p a: fail 1 of 3 -> ok 3"}, 0},
		"flaky on both":    {sides{join(times(1, "a:fail"), times(4, "a:pass")), join(times(2, "a:fail"), times(3, "a:pass"))}, []string{"flaky p a: fail 1 of 5 -> fail 2 of 5"}, 0},
		"flaky, now worse": {sides{join(times(1, "a:fail"), times(9, "a:pass")), times(10, "a:fail")}, []string{"*more often p a: fail 1 of 10 -> fail 10 of 10"}, 1},
		"flaky, now well":  {sides{join(times(9, "a:fail"), times(1, "a:pass")), times(10, "a:pass")}, []string{"newly passing p a: fail 9 of 10 -> ok 10"}, 0},
		"flaky, now rarer": {sides{times(10, "a:fail"), join(times(1, "a:fail"), times(9, "a:pass"))}, []string{"less often p a: fail 10 of 10 -> fail 1 of 10"}, 0},
		"from fail to hang": {sides{times(2, "a:fail"), times(2, "a:hang")},
			[]string{"*worse p a: fail 2 of 2 -> hang 2 of 2"}, 1},
		"from hang to fail": {sides{times(2, "a:hang"), times(2, "a:fail")}, []string{"milder p a: hang 2 of 2 -> fail 2 of 2"}, 0},
		"new complaint, tests pass": {sides{times(2, "a:pass"), join(times(1, "a:pass", "!WARNING in f"), times(1, "a:pass"))},
			[]string{"*new complaint WARNING in f: ok 2 -> crash 1 of 2"}, 1},
		"another complaint is new": {sides{times(2, "a:crash", "!WARNING in f"), times(2, "a:crash", "!WARNING in g")},
			[]string{"*new complaint WARNING in g: ok 2 -> crash 2 of 2", "gone complaint WARNING in f: crash 2 of 2 -> ok 2"}, 1},
		"an allowed one does not count": {sides{times(2, "a:pass"), times(2, "a:pass", "?WARNING in f")}, nil, 0},
		"what a crash leaves unreached is not failing": {sides{times(2, "a:pass", "b:pass"), times(2, "a:crash", "!BUG", "b:unreached")},
			[]string{"*newly failing p a: ok 2 -> crash 2 of 2", "*new complaint BUG: ok 2 -> crash 2 of 2", "not run any more p b: ok 2 -> not run"}, 1},
		"a skip is no pass":     {sides{times(2, "a:pass", "b:pass"), times(2, "a:skipped", "b:pass")}, []string{"newly skipped p a: ok 2 -> skipped"}, 0},
		"a test that is new":    {sides{times(1, "a:pass"), times(1, "a:pass", "b:fail")}, []string{"only run now p b: not run -> fail 1 of 1"}, 0},
		"a subtest stands for":  {sides{times(1, "a:pass", "a/x:pass"), times(1, "a:fail", "a/x:fail")}, []string{"*newly failing p a/x: ok 1 -> fail 1 of 1"}, 1},
		"base broken":           {sides{times(2, "broken"), times(2, "a:fail")}, []string{"only run now p a: not run -> fail 2 of 2"}, 125},
		"patched broken":        {sides{times(2, "a:pass"), times(2, "broken")}, []string{"not run any more p a: ok 2 -> not run"}, 125},
		"patched does not boot": {sides{times(2, "a:pass"), times(2, "noboot")}, []string{"*newly failing the run: ok 2 -> crash 2 of 2", "not run any more p a: ok 2 -> not run"}, 1},
		"neither boots":         {sides{times(2, "noboot"), times(2, "noboot")}, nil, 125},
		"base does not boot":    {sides{times(2, "noboot"), times(2, "a:pass")}, []string{"only run now p a: not run -> ok 2", "newly passing the run: crash 2 of 2 -> ok 2"}, 125},
		"one broken run of two": {sides{join(times(1, "broken"), times(1, "a:pass")), times(2, "a:pass")}, nil, 0},
		"the run hangs":         {sides{times(1, "a:pass"), times(1, "a:pass", "hang")}, []string{"*newly failing the run: ok 1 -> hang 1 of 1"}, 1},
		"everything skipped":    {sides{times(1, "a:pass"), times(1, "a:skipped")}, []string{"newly skipped p a: ok 1 -> skipped"}, 125},
	} {
		t.Run(name, func(t *testing.T) {
			r := Sides(tc.base, tc.patched, 0)
			want := tc.want
			if want == nil {
				want = []string{}
			}
			if diff := cmp.Diff(want, lines(r)); diff != "" {
				t.Error(diff)
			}
			if got := r.ExitCode(); got != tc.exit {
				t.Errorf("exit code %d, want %d", got, tc.exit)
			}
		})
	}
}

func TestFisher(t *testing.T) {
	for _, tc := range []struct {
		a, b Tally
		want float64
	}{
		{Tally{Runs: 3}, Tally{Runs: 3, Bad: 3}, 1.0 / 20},
		{Tally{Runs: 5}, Tally{Runs: 5, Bad: 5}, 1.0 / 252},
		{Tally{Runs: 5, Bad: 5}, Tally{Runs: 5}, 1},
		{Tally{Runs: 1}, Tally{Runs: 1}, 1},
	} {
		if got := Fisher(tc.a, tc.b); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("Fisher(%+v, %+v) = %v, want %v", tc.a, tc.b, got, tc.want)
		}
	}
}

// bench is runs whose only benchmark took these times.
func bench(unit string, values ...float64) []Run {
	var runs []Run
	for _, v := range values {
		r := run("a:pass")
		r.Figures = map[string]string{"x/p": fmt.Sprintf("BenchmarkRead\nBenchmarkRead \t 1000\t %g %s\nBenchmark is a word\n", v, unit)}
		runs = append(runs, r)
	}
	return runs
}

func TestBenchmarks(t *testing.T) {
	fast, slow := []float64{100, 101, 99, 100.5}, []float64{120, 121, 119, 120.5}
	for name, tc := range map[string]struct {
		unit                 string
		base, patched        []float64
		threshold            float64
		differs, worse, well bool
	}{
		"slower":                    {"ns/op", fast, slow, 0.05, true, true, false},
		"faster":                    {"ns/op", slow, fast, 0.05, true, false, true},
		"more is better for speed":  {"MB/s", fast, slow, 0.05, true, false, true},
		"less is worse for speed":   {"MB/s", slow, fast, 0.05, true, true, false},
		"below the threshold":       {"ns/op", fast, slow, 0.25, true, false, false},
		"no threshold":              {"ns/op", fast, slow, 0, true, false, false},
		"too few to tell":           {"ns/op", fast[:3], slow[:3], 0.05, false, false, false},
		"overlapping":               {"ns/op", []float64{100, 130, 99, 125}, []float64{120, 101, 140, 110}, 0.05, false, false, false},
		"from nothing to something": {"allocs/op", []float64{0, 0, 0, 0}, []float64{1, 1, 1, 1}, 0.5, true, true, false},
		"nobody knows what is well": {"frobs", fast, slow, 0.05, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := Sides(bench(tc.unit, tc.base...), bench(tc.unit, tc.patched...), tc.threshold)
			if len(r.Benchmarks) != 1 {
				t.Fatalf("%d benchmarks, want 1", len(r.Benchmarks))
			}
			b := r.Benchmarks[0]
			if b.Differs != tc.differs || b.Regression != tc.worse || b.Improved != tc.well {
				t.Errorf("differs %v regression %v improved %v (p %.3f, delta %.3f)", b.Differs, b.Regression, b.Improved, b.P, b.Delta)
			}
			if want := map[bool]int{true: 1}[tc.worse]; r.ExitCode() != want {
				t.Errorf("exit code %d, want %d", r.ExitCode(), want)
			}
		})
	}
}

func TestTextIsATableWithoutControlCharacters(t *testing.T) {
	patched := times(3, "a:fail", "!WARNING in \x1b[2Jf")
	r := Sides(times(3, "a:pass"), patched, 0)
	r.Benchmarks = Sides(bench("ns/op", 1, 1, 1, 1), bench("ns/op", 2, 2, 2, 2), 0.05).Benchmarks
	var b bytes.Buffer
	if err := Text(&b, r); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.ContainsRune(got, '\x1b') {
		t.Errorf("an escape sequence of the guest came through: %q", got)
	}
	for _, want := range []string{"WORSE  3 regressions", "newly failing  p a", "because fail", "new complaint  WARNING in ", "+100.0%", "REGRESSION", "fail 3 of 3"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestTextSaysHowManyDifferByChance(t *testing.T) {
	few, enough := []float64{1, 2, 3}, []float64{1, 2, 3, 4}
	for name, tc := range map[string]struct {
		values  []float64
		figures int
		want    string
	}{
		"few figures": {enough, 19, ""},
		"many":        {enough, 40, "of 40 figures up to about 2 may differ by chance alone"},
		"of few runs": {few, 40, ""},
	} {
		one := Sides(bench("ns/op", tc.values...), bench("ns/op", tc.values...), 0).Benchmarks[0]
		var b bytes.Buffer
		if err := Text(&b, &Result{Benchmarks: slices.Repeat([]Benchmark{one}, tc.figures)}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); strings.Contains(got, "by chance") != (tc.want != "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: want %q in\n%s", name, tc.want, got)
		}
	}
}

func FuzzFigures(f *testing.F) {
	f.Add("BenchmarkX 1 2 ns/op\nUnit ns/op better=higher\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := run("a:pass")
		r.Figures = map[string]string{"p": text}
		for _, b := range Sides([]Run{r, r}, []Run{r}, 0.05).Benchmarks {
			if b.Regression {
				t.Errorf("the same figures are a regression: %+v", b)
			}
		}
	})
}
