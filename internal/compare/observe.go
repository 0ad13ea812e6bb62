package compare

import (
	"slices"

	"github.com/runvm/runvm/internal/verdict"
)

// observed are the items of one side, in the order in which they were met.
type observed struct {
	order   []Item
	tallies map[Item]*Tally
	runs    int // that are counted
}

// observe reads the runs of a side. A broken run says nothing.
func observe(runs []Run) *observed {
	o := &observed{tallies: map[Item]*Tally{}}
	for _, run := range runs {
		if run.Report.Verdict != verdict.Broken {
			o.runs++
			o.run(run.Report)
		}
	}
	return o
}

// union are the items of o with what only other has behind them.
func (o *observed) union(other *observed) []Item {
	all := slices.Clone(o.order)
	for _, it := range other.order {
		if o.tallies[it] == nil {
			all = append(all, it)
		}
	}
	return all
}

// tally is what is known of it. A title that never came, and the run itself,
// were right in every run.
func (o *observed) tally(it Item) Tally {
	t := Tally{}
	if known := o.tallies[it]; known != nil {
		t = *known
	}
	if it.Program == "" {
		t.Runs = o.runs
	}
	return t
}

func (o *observed) run(r *verdict.Report) {
	explained := verdict.Pass
	for i := range r.Programs {
		o.program(r, &r.Programs[i])
		explained = verdict.Worse(explained, r.Programs[i].Verdict)
	}
	seen := map[string]bool{}
	for _, c := range r.Crashes {
		if c.Allowed == nil && !seen[c.Title] {
			seen[c.Title] = true
			o.add(Item{Title: c.Title}, verdict.Crash, c.Title, r)
		}
	}
	switch {
	case !r.Booted:
		o.add(Item{}, r.Verdict, "does not boot: "+r.Reason, r)
	case r.Verdict != verdict.Crash && beyond(explained, r.Verdict):
		o.add(Item{}, r.Verdict, r.Reason, r)
	}
}

// beyond tells whether a is not as bad as b.
func beyond(a, b verdict.Verdict) bool { return a != b && verdict.Worse(a, b) == b }

// program observes p and its tests. Where the tests explain its verdict, the
// program itself is right.
func (o *observed) program(r *verdict.Report, p *verdict.Program) {
	if !p.Reached {
		return
	}
	worst := verdict.Pass
	for _, t := range p.Tests {
		worst = verdict.Worse(worst, t.Verdict)
		if t.Verdict == verdict.Incomplete && !t.Reached {
			continue // something before it is to blame
		}
		o.add(Item{Program: p.ID, Test: t.Name}, t.Verdict, t.Reason, r)
	}
	own, reason := verdict.Pass, ""
	if len(p.Tests) == 0 || beyond(worst, p.Verdict) {
		own, reason = p.Verdict, p.Reason
	}
	o.add(Item{Program: p.ID}, own, reason, r)
}

// add counts one result of an item.
func (o *observed) add(it Item, v verdict.Verdict, reason string, r *verdict.Report) {
	t := o.tallies[it]
	if t == nil {
		t = &Tally{}
		o.tallies[it] = t
		o.order = append(o.order, it)
	}
	if v == verdict.Skipped {
		t.Skipped++
		return
	}
	t.Runs++
	if v == verdict.Pass {
		return
	}
	if t.Bad == 0 {
		t.Verdict, t.Reason, t.Dir = v, reason, r.Run.Dir
	}
	t.Bad++
	t.Verdict = verdict.Worse(t.Verdict, v)
}
