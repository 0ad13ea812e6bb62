package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/runvm/runvm/internal/compare"
	"github.com/runvm/runvm/internal/verdict"
)

// MaxRepeat bounds AB.Count and Bisect.Count.
const MaxRepeat = 1000

// abFile is the result in the directory of an A/B.
const abFile = "ab.json"

// An AB is two kernels on which the same tests run.
type AB struct {
	// Base and Patched differ in Kernel and Command only; Out is not used.
	Base, Patched Plan
	// Count is how often each side runs, 1 to MaxRepeat.
	Count int
	// Threshold as in compare.Result, 0 or more.
	Threshold float64
	// Out is the directory of all runs; "" makes one in the cache.
	Out string
}

// Check refuses an AB that cannot work, before anything slow is started.
func (ab *AB) Check() error {
	switch {
	case ab.Count < 1 || ab.Count > MaxRepeat:
		return usagef("-count %d: want 1 to %d", ab.Count, MaxRepeat)
	case ab.Threshold < 0:
		return usagef("-threshold %g: want 0 or more", 100*ab.Threshold)
	case ab.Threshold > 0 && ab.Patched.Select.Bench == "":
		return usagef("-threshold is for benchmarks: want -bench too")
	case ab.Threshold > 0 && ab.Count < compare.MinPairs:
		return usagef("-threshold: with -count %d any difference may be chance: want %d or more", ab.Count, compare.MinPairs)
	}
	if err := ab.Base.Check(); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	return ab.Patched.Check()
}

// AB builds both kernels, runs the tests on them by turns, so that what else
// goes on on this machine meets both, and says what changed. Each turn has a
// seed of its own, the same for both. An error means that there is no answer.
func (c *Conductor) AB(ctx context.Context, ab AB) (*compare.Result, error) {
	if err := ab.Check(); err != nil {
		return nil, err
	}
	progs, err := c.programs(ctx, ab.Patched)
	if err != nil {
		return nil, err
	}
	if ab, err = c.sameSource(ctx, ab); err != nil {
		return nil, err
	}
	sides := [2]turn{
		{"base", prepared{plan: ab.Base, progs: progs}},
		{"patched", prepared{plan: ab.Patched, progs: progs}},
	}
	for i := range sides {
		s := &sides[i]
		if s.built, err = c.again().Build(ctx, s.plan.Kernel); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	dir, err := c.runDir(ab.Out, time.Now())
	if err != nil {
		return nil, err
	}
	runs, err := c.turns(ctx, dir, inPairs(sides, ab.Count))
	if err != nil {
		return nil, err
	}
	var base, patched []compare.Run
	for pair := range slices.Chunk(runs, 2) {
		base, patched = append(base, pair[0]), append(patched, pair[1])
	}
	result := compare.Sides(base, patched, ab.Threshold)
	return result, writeJSON(filepath.Join(dir, abFile), result)
}

// inPairs are count turns of each of sides, by turns, with the same seed for
// both and another for each pair: with the same one deterministic guests would
// do the same.
func inPairs(sides [2]turn, count int) []turn {
	var all []turn
	for n := range count {
		for _, t := range sides {
			t.name = fmt.Sprintf("%s-%d", t.name, n+1)
			t.plan.Guest.Seed += int64(n)
			all = append(all, t)
		}
	}
	return all
}

// sameSource makes the base of an AB the source that is found for the patched
// side, where the user named none for either.
func (c *Conductor) sameSource(ctx context.Context, ab AB) (AB, error) {
	if ab.Base.Kernel.Spec != ab.Patched.Kernel.Spec {
		return ab, nil
	}
	k, err := c.definite(ctx, ab.Patched.Kernel)
	if err != nil {
		return ab, fmt.Errorf("patched: %w", err)
	}
	for _, side := range []*Kernel{&ab.Base.Kernel, &ab.Patched.Kernel} {
		side.Spec, side.Base, side.Fuzz = k.Spec, k.Base, k.Fuzz
	}
	return ab, nil
}

// compared runs s in dir, with the figures of its benchmarks.
func (c *Conductor) compared(ctx context.Context, s *prepared, dir string) (compare.Run, error) {
	report, err := c.run(ctx, s, dir)
	if err != nil {
		return compare.Run{}, err
	}
	run := compare.Run{Report: report}
	if s.plan.Select.Bench != "" {
		run.Figures, err = figures(dir)
	}
	return run, err
}

// inShort is the verdict of a run with its reason.
func inShort(r *verdict.Report) string {
	if r.Reason == "" {
		return string(r.Verdict)
	}
	return fmt.Sprintf("%s  %s", r.Verdict, Printable(r.Reason))
}
