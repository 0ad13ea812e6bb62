package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/each"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
)

// eachFile is the result in the directory of an Each, beside its runs.
const eachFile = "each.json"

// Each builds, boots and checks every prefix of p's series, the shortest
// first, so that each costs an incremental build. The series onto, which come
// first in p's, are in every kernel. An error means that there is no answer.
func (c *Conductor) Each(ctx context.Context, p Plan, onto []string) (*each.Result, error) {
	if len(p.Kernel.Patches) == len(onto) {
		return nil, usagef("-each: want -patches, the series whose prefixes are tested")
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	own := c.again()
	progs, err := own.programs(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := c.Host.Ensure(ctx, distro.Check()); err != nil {
		return nil, err
	}
	full, err := own.source(ctx, p.Kernel)
	if err != nil {
		return nil, err
	}
	dir, err := c.runDir(p.Out, time.Now())
	if err != nil {
		return nil, err
	}
	e := &stepper{c: c, plan: p, progs: progs, full: full, first: full.below(onto), dir: dir}
	return e.all(ctx)
}

// A stepper goes through the prefixes of a series.
type stepper struct {
	c          *Conductor
	plan       Plan
	progs      *programs
	full       *Built // without an image
	first      int    // patches that every kernel has
	dir        string
	checkpatch *kernel.Checkpatch
	builds     int // the last prefix that builds
	result     each.Result
}

func (e *stepper) all(ctx context.Context) (*each.Result, error) {
	e.result = each.Result{Schema: each.Schema, Base: e.full.Base.Name, Dir: e.dir}
	if err := e.findCheckpatch(ctx); err != nil {
		return nil, err
	}
	if e.checkpatch != nil {
		defer e.checkpatch.Close()
	}
	total := len(e.full.Applied) - e.first
	for n := 1; n <= total; n++ {
		step, err := e.step(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("with %d of %d patches: %w", n, total, err)
		}
		e.result.Steps = append(e.result.Steps, *step)
		e.c.say("each: %s", e.result.Line(n-1, total))
		// What was found stays when a later step is interrupted.
		if err := writeJSON(filepath.Join(e.dir, eachFile), &e.result); err != nil {
			return nil, err
		}
	}
	return &e.result, nil
}

// findCheckpatch takes the base's checkpatch.
func (e *stepper) findCheckpatch(ctx context.Context) error {
	files, err := e.full.Base.Reader(ctx, e.c.Sh)
	if err != nil {
		return err
	}
	e.checkpatch, err = kernel.NewCheckpatch(e.c.Sh, files.Read)
	if e.checkpatch == nil && err == nil {
		e.result.Notes = append(e.result.Notes, "the base has no scripts/checkpatch.pl: the style was not checked")
	}
	return errors.Join(err, files.Close())
}

// step does all for the prefix of n patches. An error is this machine's.
func (e *stepper) step(ctx context.Context, n int) (*each.Step, error) {
	// What sparse says of a kernel that does not build is not all.
	built, before := e.full.prefix(e.first+n), e.full.prefix(e.first+e.builds)
	last := built.Applied[e.first+n-1]
	step := &each.Step{Number: n, Patch: applied(built.Applied, nil)[e.first+n-1]}
	// The objects of the kernel before are there now, and not after the build.
	old, err := e.sparse(ctx, before, last.Files)
	if err != nil {
		return nil, err
	}
	err = e.c.image(ctx, e.plan.Kernel, built)
	if untestable(err) {
		step.Build = err.Error()
	} else if err != nil {
		return nil, err
	} else if err := e.run(ctx, n, built, step); err != nil {
		return nil, err
	}
	fresh, err := e.sparse(ctx, built, last.Files)
	if err != nil {
		return nil, err
	}
	if step.Build != "" { // which says it already
		fresh = slices.DeleteFunc(fresh, kernel.Complaint.IsError)
	} else {
		e.builds = n
	}
	step.Complaints = kernel.New(old, fresh)
	style, err := e.style(ctx, n)
	step.Complaints = append(step.Complaints, style...)
	return step, err
}

// run boots the kernel of a step.
func (e *stepper) run(ctx context.Context, n int, built *Built, step *each.Step) error {
	step.Key, step.Cached = built.Key, built.Cached
	if m := built.Meta; m != nil && !built.Cached {
		step.Took, step.Commands = m.Took.Checkout+m.Took.Configure+m.Took.Compile+m.Took.Store, m.Steps
	}
	step.Patch = applied(built.Applied, built.Gaps)[e.first+n-1]
	plan := e.plan
	if e.first+n < len(e.full.Applied) {
		plan.Command = nil // no flag names a part of a series
	}
	step.Dir = filepath.Join(e.dir, strconv.Itoa(n))
	report, err := e.c.run(ctx, &prepared{plan: plan, built: built, progs: e.progs}, step.Dir)
	if err != nil {
		return err
	}
	step.Booted, step.Verdict, step.Reason = report.Booted, report.Verdict, report.Reason
	if report.Verdict == verdict.Pass {
		step.Reason = ""
	}
	return nil
}

// sparse is what sparse says of files in b's tree.
func (e *stepper) sparse(ctx context.Context, b *Built, files []string) ([]kernel.Complaint, error) {
	k := e.plan.Kernel
	builder := &kernel.Builder{Cache: e.c.Cache, Sh: e.c.Sh, Progress: e.c.Progress}
	found, err := builder.Sparse(ctx, kernel.Request{Tree: b.Tree, Profile: k.Profile, Config: k.Config, Jobs: k.Jobs}, files)
	if untestable(err) { // the build will say so
		return nil, nil
	}
	return found, err
}

// style is what checkpatch says of patch n, but for lines that were only
// moved.
func (e *stepper) style(ctx context.Context, n int) ([]kernel.Complaint, error) {
	if e.checkpatch == nil {
		return nil, nil
	}
	series, i := e.full.mail(e.first + n - 1)
	all, err := e.checkpatch.Check(ctx, series.Mail(i))
	return slices.DeleteFunc(all, func(c kernel.Complaint) bool {
		return c.File != "" && series.Patches[i].Moved(c.File, c.Line)
	}), err
}

// prefix is b with its first n patches only, and without an image.
func (b *Built) prefix(n int) *Built {
	tree := *b.Base
	if n > 0 {
		tree.ID = b.Applied[n-1].Tree
	}
	return &Built{Tree: &tree, Base: b.Base, Applied: b.Applied[:n], Series: b.Series}
}

// below is how many of b's patches are those of the series onto, which come
// first.
func (b *Built) below(onto []string) int {
	n := 0
	for n < len(b.Applied) && slices.Contains(onto, b.Applied[n].Series) {
		n++
	}
	return n
}

// mail returns the series and the index in it of the patch b.Applied[n].
func (b *Built) mail(n int) (*patch.Series, int) {
	for s := range b.Series {
		if n < len(b.Series[s].Patches) {
			return &b.Series[s], n
		}
		n -= len(b.Series[s].Patches)
	}
	return nil, 0
}
