package run

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/repro"
)

// reproFile is the result in the directory of a Repro's runs.
const reproFile = "repro.json"

// A Repro is a bug to bring back.
type Repro struct {
	Bug *repro.Repro
	// Guest is what both kernels boot on; what Bug says of it comes first.
	Guest Guest
	Jobs  int // as Kernel.Jobs
	// Count is how often each kernel runs, each time in a guest of its own, 1
	// to MaxRepeat.
	Count int
	// Out is the directory of all runs; "" makes one in the cache.
	Out string
	// Command is the command line of one run on a kernel, up to the test.
	Command func(Kernel, Guest) []string
}

// kernel is one side of the bug as a Kernel.
func (r *Repro) kernel(k repro.Kernel) Kernel {
	return Kernel{Spec: k.Source, Patches: k.Patches, Profile: r.Bug.Profile, Jobs: r.Jobs}
}

// plan is a run of k.
func (r *Repro) plan(k repro.Kernel) Plan {
	p := Plan{
		Kernel: r.kernel(k), Guest: r.Guest, Targets: []string{r.Bug.Target()}, Dir: r.Bug.Root,
		Select: gotest.Selection{Count: 1},
	}
	if r.Bug.CPUs > 0 {
		p.Guest.CPUs = r.Bug.CPUs
	}
	if r.Bug.MemoryMiB > 0 {
		p.Guest.MemoryMiB = r.Bug.MemoryMiB
	}
	p.Guest.Append = append(append([]string(nil), r.Bug.Append...), p.Guest.Append...)
	p.Command = r.Command(p.Kernel, p.Guest)
	return p
}

// Repro builds the kernel that has the bug and the one that has not, runs the
// test on them by turns, and says whether the bug shows. An error means that
// there is no answer.
func (c *Conductor) Repro(ctx context.Context, r Repro) (*repro.Result, error) {
	if r.Count < 1 || r.Count > MaxRepeat {
		return nil, usagef("-count %d: want 1 to %d", r.Count, MaxRepeat)
	}
	result := repro.NewResult(r.Bug)
	sides := [2]struct {
		name string
		prepared
		result *repro.Side
	}{
		{"buggy", prepared{plan: r.plan(r.Bug.Buggy)}, &result.Buggy},
		{"fixed", prepared{plan: r.plan(r.Bug.Fixed)}, &result.Fixed},
	}
	for i := range sides {
		if err := sides[i].plan.Check(); err != nil {
			return nil, fmt.Errorf("%s, %s kernel: %w", r.Bug.Name, sides[i].name, err)
		}
	}
	progs, err := c.programs(ctx, sides[0].plan)
	if err != nil {
		return nil, err
	}
	for i := range sides {
		s := &sides[i]
		s.progs = progs
		if s.built, err = c.again().Build(ctx, s.plan.Kernel); err != nil {
			return nil, fmt.Errorf("%s kernel: %w", s.name, err)
		}
	}
	dir, err := c.runDir(r.Out, time.Now())
	if err != nil {
		return nil, err
	}
	for n := 1; n <= r.Count; n++ {
		for i := range sides {
			s := &sides[i]
			name := fmt.Sprintf("%s-%d", s.name, n)
			report, err := c.run(ctx, &s.prepared, filepath.Join(dir, name))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			r.Bug.Add(s.result, report)
			c.say("%s %s of %d: %s", r.Bug.Name, name, r.Count, inShort(report))
		}
	}
	return result, writeJSON(filepath.Join(dir, reproFile), result)
}
