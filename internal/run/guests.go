package run

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/wire"
)

// maxGuests bounds the VMs of one run.
const maxGuests = 1000

// A policy says what becomes of tests after a guest has ended.
type policy struct {
	keepGoing bool // those that a dead guest did not reach run in another one
	retry     int  // how often those that failed run again
}

// guests runs progs in one guest, and in as many more as the policy wants.
// rec records the first; the others have folders of their own below its.
func (c *Conductor) guests(ctx context.Context, g Guest, pol policy, built *Built, progs *programs, rec *recorder) (*verdict.Report, error) {
	report, err := c.keepGoing(ctx, g, pol, built, progs, rec)
	for round := 1; err == nil && round <= pol.retry; round++ {
		again := progs.failed(report)
		own := kernelFailed(report)
		if len(again.tests) == 0 && !own || len(rec.in.Guests) >= maxGuests {
			break
		}
		// With the same seed the same would happen.
		g.Seed++
		g.Cold = g.Cold || own // the kernel's own tests run when it boots
		report, err = c.another(ctx, g, round, built, again, rec)
	}
	return report, err
}

// keepGoing runs progs in a guest, and what it leaves when it dies in others.
func (c *Conductor) keepGoing(ctx context.Context, g Guest, pol policy, built *Built, progs *programs, rec *recorder) (*verdict.Report, error) {
	report, err := c.finish(ctx, g, built, progs, rec)
	last := rec
	for err == nil && pol.keepGoing && len(rec.in.Guests) < maxGuests && died(last.in.End) {
		own, _, judgeErr := judgeOne(last.dir)
		if judgeErr != nil {
			return nil, judgeErr
		}
		var reached []verdict.Planned
		progs, reached = progs.unreached(own)
		if len(progs.tests) == 0 || len(reached) == 0 {
			break // nothing is left, or the guest did not get anywhere
		}
		last.in.Plan = reached
		if err := last.write(); err != nil {
			return nil, err
		}
		report, last, err = c.next(ctx, g, 0, built, progs, rec)
	}
	return report, err
}

// died tells whether a guest ended without having gone through its plan.
func died(end verdict.End) bool { return end != verdict.EndPowerOff && end != verdict.EndKilled }

// another is next for a retry.
func (c *Conductor) another(ctx context.Context, g Guest, round int, built *Built, progs *programs, rec *recorder) (*verdict.Report, error) {
	report, _, err := c.next(ctx, g, round, built, progs, rec)
	return report, err
}

// next runs progs in one more guest of the run that rec records and judges
// the whole run.
func (c *Conductor) next(ctx context.Context, g Guest, round int, built *Built, progs *programs, rec *recorder) (*verdict.Report, *recorder, error) {
	name := fmt.Sprintf("guest-%d", len(rec.in.Guests)+2)
	dir := filepath.Join(rec.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("run directory: %w", err)
	}
	guest, err := newRecorder(dir, progs.planned)
	if err != nil {
		return nil, nil, fmt.Errorf("run directory: %w", err)
	}
	defer guest.close()
	guest.live, guest.in.Retry, guest.in.Allow, guest.in.Run = rec.live, round, rec.in.Allow, rec.in.Run
	guest.in.Run.Core, guest.in.KUnit = nil, progs.kunit
	if len(progs.tests) == 0 {
		guest.in.KUnit = cmp.Or(progs.kunit, "*") // they are all it is for
	}
	guest.in.Run.ID, guest.in.Run.Dir, guest.in.Run.Console = rec.in.Run.ID+"/"+name, dir, filepath.Join(dir, consoleFile)
	if _, err := c.finish(ctx, g, built, progs, guest); err != nil {
		return nil, nil, err
	}
	rec.in.Guests = append(rec.in.Guests, name)
	rec.in.Run.Stages = c.stages
	report, err := rec.judge()
	if err != nil {
		return nil, nil, fmt.Errorf("judge: %w", err)
	}
	return report, guest, nil
}

// unreached are the programs, and the tests in them, that a guest which died
// did not get to; reached is what it was asked for without them. What it died
// in is not among them, so that each guest gets further than the one before.
func (ps *programs) unreached(report *verdict.Report) (rest *programs, reached []verdict.Planned) {
	rest = ps.none()
	for i, planned := range ps.planned {
		p := &report.Programs[i]
		missing := missing(p, planned)
		switch {
		case !p.Reached:
			rest.take(ps, i, planned.Tests)
			continue
		case p.Exit == nil && len(missing) > 0 && len(missing) < len(planned.Tests):
			rest.take(ps, i, missing)
			planned.Tests = without(planned.Tests, missing)
			planned.Skipped = slices.Concat(planned.Skipped, missing)
		}
		reached = append(reached, planned)
	}
	return rest, reached
}

// missing are the planned tests of p that have no result and did not begin,
// or have fewer results than asked for without having stopped the guest: where
// a test has crashed, those that ran beside it did not.
func missing(p *verdict.Program, planned verdict.Planned) []string {
	crashed := slices.ContainsFunc(p.Tests, func(t verdict.Test) bool { return t.Verdict == verdict.Crash })
	var names []string
	for _, t := range p.Tests {
		if t.Verdict == verdict.Incomplete && (!t.Open || crashed) && slices.Contains(planned.Tests, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// failed are the programs and tests that failed, and nothing worse.
func (ps *programs) failed(report *verdict.Report) *programs {
	rest := ps.none()
	for i, planned := range ps.planned {
		p := program(report, planned.ID)
		if p == nil {
			continue
		}
		var names []string
		for _, t := range p.Tests {
			if t.Verdict == verdict.Fail && slices.Contains(planned.Tests, t.Name) {
				names = append(names, t.Name)
			}
		}
		if len(names) > 0 || !planned.Go && p.Verdict == verdict.Fail {
			rest.take(ps, i, names)
		}
	}
	return rest
}

// kernelFailed says that tests of the kernel's own failed, and nothing worse
// happened in them.
func kernelFailed(report *verdict.Report) bool {
	p := program(report, verdict.KernelLog)
	return p != nil && p.Verdict == verdict.Fail
}

func program(report *verdict.Report, id string) *verdict.Program {
	for i := range report.Programs {
		if report.Programs[i].ID == id {
			return &report.Programs[i]
		}
	}
	return nil
}

// none is ps without its programs.
func (ps *programs) none() *programs {
	return &programs{files: ps.files, commands: ps.commands, kunit: ps.kunit, selection: ps.selection}
}

// take adds program i of all, of whose tests only these are to run.
func (ps *programs) take(all *programs, i int, tests []string) {
	planned, test := all.planned[i], all.tests[i]
	if planned.Go {
		skipped := without(planned.Tests, tests)
		skipped = append(skipped, planned.Skipped...)
		test = wire.Test{ID: test.ID, Argv: append([]string{test.Argv[0]}, ps.selection.Without(skipped).Flags()...), Dir: test.Dir, Marks: test.Marks}
		planned.Tests, planned.Skipped = tests, skipped
	}
	ps.planned, ps.tests = append(ps.planned, planned), append(ps.tests, test)
}

// without is names but for those in taken.
func without(names, taken []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(taken, n) })
}

// judgeGuests adds what a run's further guests did, in folders of dir, to the
// report and the events of the first.
func judgeGuests(dir string, names []string, report *verdict.Report, events []gotest.Event) (*verdict.Report, []gotest.Event, error) {
	if len(names) > maxGuests {
		return nil, nil, usagef("%s: more than %d guests", dir, maxGuests)
	}
	for _, name := range names {
		if !filepath.IsLocal(name) {
			return nil, nil, usagef("%s: guest %q is not a folder of the run", dir, name)
		}
		guest := filepath.Join(dir, name)
		rec, err := readRecorded(guest)
		if err != nil {
			return nil, nil, err
		}
		next, more, err := judgeOne(guest)
		if err != nil {
			return nil, nil, err
		}
		report, events = verdict.Merge(report, next, rec.Retry), append(events, more...)
	}
	return report, events, nil
}
