// Package compare says what changed between two kernels on which the same
// tests ran: a pure function of the reports of both sides.
//
// A test that never failed on the base and fails on the patched side is a
// regression however seldom it fails; one that is flaky on the base already has
// to fail more often, beyond chance (Fisher's exact test). The same rule holds
// for the kernel's complaints, by title, and for kernels that do not boot.
package compare

import (
	"cmp"
	"slices"

	"github.com/runvm/runvm/internal/verdict"
)

// Schema is the version of Result as JSON.
const Schema = 1

// Alpha is the probability below which a difference is not called chance.
const Alpha = 0.05

// A Run is one run of a side.
type Run struct {
	Report *verdict.Report
	// Figures is what the benchmarks of each program wrote, in the format of
	// Go's benchmarks; by the program's ID.
	Figures map[string]string
}

// A Side is one of the two kernels.
type Side struct {
	Kernel verdict.Kernel `json:"kernel"`
	Dirs   []string       `json:"dirs"` // of the runs, in their order
	// Judged counts the runs that have a verdict.
	Judged int `json:"judged"`
	// Reason is why the first of the others has none.
	Reason string `json:"reason,omitempty"`
}

// An Outcome is what can be said of the patched side as a whole.
type Outcome string

// The outcomes.
const (
	Worse     Outcome = "worse"      // at least one regression
	Better    Outcome = "better"     // improvements and no regression
	Same      Outcome = "same"       // neither
	NoVerdict Outcome = "no verdict" // a side was not tested
)

// A Result is what changed from Base to Patched. It is written as ab.json.
type Result struct {
	Schema  int     `json:"schema"`
	Outcome Outcome `json:"outcome"`
	Base    Side    `json:"base"`
	Patched Side    `json:"patched"`
	// Changes come with regressions first.
	Changes    []Change    `json:"changes,omitempty"`
	Benchmarks []Benchmark `json:"benchmarks,omitempty"`
	// Threshold is the relative difference, 0.05 for 5 %, from which on a
	// benchmark that is slower is a regression; 0 is never.
	Threshold float64  `json:"threshold,omitempty"`
	Notes     []string `json:"notes,omitempty"`
}

// Sides compares the runs of base and patched. threshold as in Result.
func Sides(base, patched []Run, threshold float64) *Result {
	r := &Result{Schema: Schema, Base: side(base), Patched: side(patched), Threshold: threshold}
	r.Changes = changes(observe(base), observe(patched))
	r.Benchmarks = Benchmarks(base, patched, threshold)
	if key := r.Base.Kernel.Key; key != "" && key == r.Patched.Kernel.Key {
		r.Notes = append(r.Notes, "both sides booted the same image: the patches change nothing that is compiled")
	}
	r.Outcome = r.outcome()
	return r
}

// ExitCode is 1 for a regression, 125 when a side was not tested, else 0.
func (r *Result) ExitCode() int {
	switch r.Outcome {
	case Worse:
		return verdict.ExitWrong
	case NoVerdict:
		return verdict.ExitNoVerdict
	}
	return verdict.ExitPass
}

func (r *Result) outcome() Outcome {
	worse, better := r.count()
	switch {
	// A patched kernel that does not boot is tested enough: the base does.
	case r.Base.Judged == 0, r.Patched.Judged == 0 && worse == 0:
		return NoVerdict
	case worse > 0:
		return Worse
	case better > 0:
		return Better
	}
	return Same
}

// count counts regressions and improvements.
func (r *Result) count() (worse, better int) {
	for _, c := range r.Changes {
		switch {
		case c.Regression:
			worse++
		case c.Kind.order() >= Milder.order():
			better++
		}
	}
	for _, b := range r.Benchmarks {
		switch {
		case b.Regression:
			worse++
		case b.Improved:
			better++
		}
	}
	return worse, better
}

// side sums up runs.
func side(runs []Run) Side {
	var s Side
	for i, run := range runs {
		if i == 0 {
			s.Kernel = run.Report.Run.Kernel
		}
		s.Dirs = append(s.Dirs, run.Report.Run.Dir)
		if run.Report.ExitCode() != verdict.ExitNoVerdict {
			s.Judged++
		} else if s.Reason == "" {
			s.Reason = cmp.Or(run.Report.Reason, string(run.Report.Verdict))
		}
	}
	return s
}

// changes compares what was observed, item by item.
func changes(base, patched *observed) []Change {
	var all []Change
	for _, it := range base.union(patched) {
		b, p := base.tally(it), patched.tally(it)
		kind, chance := it.judge(b, p)
		if kind == "" {
			continue
		}
		all = append(all, Change{Item: it, Kind: kind, Base: b, Patched: p, P: chance, Regression: kind.regression()})
	}
	all = withoutParents(all)
	slices.SortStableFunc(all, func(a, b Change) int { return a.Kind.order() - b.Kind.order() })
	return all
}

// withoutParents leaves out tests that changed only because a subtest did so
// in the same way, and programs because a test did.
func withoutParents(all []Change) []Change {
	type way struct {
		Item
		Kind
	}
	parents := map[way]bool{}
	for _, c := range all {
		if c.Test != "" {
			parents[way{Item{Program: c.Program}, c.Kind}] = true
		}
		for i, r := range c.Test {
			if r == '/' {
				parents[way{Item{Program: c.Program, Test: c.Test[:i]}, c.Kind}] = true
			}
		}
	}
	return slices.DeleteFunc(all, func(c Change) bool { return parents[way{c.Item, c.Kind}] })
}
