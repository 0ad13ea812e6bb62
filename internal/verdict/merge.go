package verdict

import (
	"fmt"
	"slices"
)

// A Guest is one VM of a run that took several.
type Guest struct {
	Dir     string  `json:"dir"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"`
	End     End     `json:"end"`
	// Seed is of its deterministic random numbers.
	Seed int64 `json:"seed,omitempty"`
	// Retry counts the rounds of tests run again because they had failed; 0 is
	// a guest that ran what no other had reached.
	Retry int `json:"retry,omitempty"`
}

// Merge adds to r, the report of a run's first guests, that of the next one.
// A retry of 1 and more says that the tests of next had failed before: one
// that passes now is Flaky and fails the run no longer. A crash, a hang and
// whatever else is worse than Fail stays, whatever comes later.
func Merge(r, next *Report, retry int) *Report {
	if len(r.Guests) == 0 {
		r.Guests = []Guest{guest(r, 0)}
	}
	g := guest(next, retry)
	own, why := apart(r)
	ownNext, whyNext := apart(next)
	if rank(ownNext) > rank(own) {
		own, why = ownNext, whyNext
	}
	for i := range next.Programs {
		r.add(&next.Programs[i], next.Run.Console, retry > 0)
	}
	for _, c := range next.Crashes {
		c.Console = next.Run.Console
		r.Crashes = append(r.Crashes, c)
	}
	r.Run.Core = append(r.Run.Core, next.Run.Core...)
	if r.Stuck == nil {
		r.Stuck = next.Stuck
	}
	for i := range min(len(r.Allow), len(next.Allow)) {
		r.Allow[i].Used = r.Allow[i].Used || next.Allow[i].Used
	}
	for _, note := range next.Notes {
		if slices.Contains(r.Notes, note) {
			continue
		}
		r.Notes = append(r.Notes, fmt.Sprintf("guest %d: %s", len(r.Guests)+1, note))
	}
	r.Guests = append(r.Guests, g)
	r.Verdict, r.Reason = ofPrograms(r.Programs)
	if rank(own) > rank(r.Verdict) {
		r.Verdict, r.Reason = own, why
	}
	if r.Verdict == Pass {
		r.Reason = ""
	}
	return r
}

func guest(r *Report, retry int) Guest {
	return Guest{Dir: r.Run.Dir, Verdict: r.Verdict, Reason: r.Reason, End: r.End, Seed: r.Run.Machine.Seed, Retry: retry}
}

// apart is the verdict of a run that its programs do not explain.
func apart(r *Report) (Verdict, string) {
	if v, _ := ofPrograms(r.Programs); rank(r.Verdict) > rank(v) {
		return r.Verdict, r.Reason
	}
	return Pass, ""
}

// add merges p into the program of its ID, or appends it.
func (r *Report) add(p *Program, console string, retry bool) {
	for i := range r.Programs {
		if old := &r.Programs[i]; old.ID == p.ID {
			old.merge(p, retry)
			return
		}
	}
	q := *p
	q.Console = console
	r.Programs = append(r.Programs, q)
}

// merge adds the results of a later guest to p.
func (p *Program) merge(next *Program, retry bool) {
	byTests := p.Verdict == Fail && hasFailed(p.Tests)
	for _, t := range next.Tests {
		p.addTest(t, retry)
	}
	p.Elapsed += next.Elapsed
	p.Exit = next.Exit
	switch {
	case !retry || next.Verdict != Pass && next.Verdict != Skipped:
		p.worsen(next.Verdict, next.Reason)
		if p.Output == "" {
			p.Output = next.Output
		}
	case byTests:
		p.Verdict, p.Reason = ofTests(p.Tests)
	case p.Verdict == Fail && len(p.Tests) == 0:
		p.Verdict, p.Reason, p.Output, p.Flaky = Pass, "", "", true
	}
}

func hasFailed(tests []Test) bool {
	for _, t := range tests {
		if t.Verdict == Fail {
			return true
		}
	}
	return false
}

// addTest merges t into the test of its name, or appends it.
func (p *Program) addTest(t Test, retry bool) {
	for i := range p.Tests {
		if p.Tests[i].Name == t.Name {
			p.Tests[i].merge(t, retry)
			return
		}
	}
	p.Tests = append(p.Tests, t)
}

func (t *Test) merge(next Test, retry bool) {
	runs, failed := t.Runs+next.Runs, t.Failed+next.Failed
	elapsed := t.Elapsed + next.Elapsed
	switch {
	case rank(next.Verdict) > rank(t.Verdict):
		*t = next
	case retry && t.Verdict == Fail && next.Verdict == Pass:
		t.Verdict, t.Output = Pass, ""
	}
	t.Runs, t.Failed, t.Elapsed = runs, failed, elapsed
	t.judgeFlaky()
}

// judgeFlaky says of a test that both failed and did not how often it failed.
func (t *Test) judgeFlaky() {
	t.Flaky = t.Failed > 0 && t.Failed < t.Runs
	if t.Flaky && rank(t.Verdict) <= rank(Fail) {
		t.Reason = join(fmt.Sprintf("flaky: failed %d of %s", t.Failed, plural(t.Runs, "run")), gist(t.Output))
	}
}
