package run

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/verdict"
)

// FiguresFile is what the benchmarks of all runs of a Bench wrote, in its
// directory.
const FiguresFile = "bench.txt"

// A Bench is benchmarks that run several times in one kernel.
type Bench struct {
	// Plan's Out is not used, nor is Guest.Deterministic: see Counted.
	Plan Plan
	// Counted is how often they run in deterministic guests, which count
	// instructions; the seeds are Plan.Guest.Seed and those that follow.
	Counted int
	// Timed is how often they run in other guests. Counted and Timed are 0 to
	// MaxRepeat, and not both 0.
	Timed int
	// Out is the directory of all runs; "" makes one in the cache.
	Out string
}

// A Benched is what came of a Bench.
type Benched struct {
	// Dir is the folder of the runs, in folders "counted-1", "timed-1" …, and of
	// FiguresFile.
	Dir string
	// Text is FiguresFile: the format of go test -bench, with lines "key:
	// value" before the figures of each run.
	Text string
	// Worst is the report of the run with the worst verdict.
	Worst *verdict.Report
}

// Check refuses a Bench that cannot work, before anything slow is started.
func (b *Bench) Check() error {
	if b.Counted < 0 || b.Counted > MaxRepeat {
		return usagef("-count %d: want 0 to %d", b.Counted, MaxRepeat)
	}
	if b.Timed < 0 || b.Timed > MaxRepeat {
		return usagef("-timed %d: want 0 to %d", b.Timed, MaxRepeat)
	}
	if b.Counted+b.Timed == 0 {
		return usagef("-count 0 and -timed 0: nothing would run")
	}
	counted, timed := b.plans()
	for _, t := range slices.Concat(counted, timed) {
		if err := t.plan.Check(); err != nil {
			return err
		}
	}
	return nil
}

// plans are the runs that count, and those that take the time.
func (b *Bench) plans() (counted, timed []turn) {
	for n := range b.Counted {
		p := b.Plan
		p.Guest.Deterministic, p.Guest.Seed = true, b.Plan.Guest.Seed+int64(n)
		p.Command = append(slices.Clone(p.Command), "-deterministic", "-seed", fmt.Sprint(p.Guest.Seed))
		counted = append(counted, turn{name: fmt.Sprintf("counted-%d", n+1), prepared: prepared{plan: p}})
	}
	for n := range b.Timed {
		p := b.Plan
		p.Guest.Deterministic = false
		timed = append(timed, turn{name: fmt.Sprintf("timed-%d", n+1), prepared: prepared{plan: p}})
	}
	return counted, timed
}

// Bench builds the kernel and runs the benchmarks on it. An error means that
// there is no answer; the verdict of each run is in Worst.
func (c *Conductor) Bench(ctx context.Context, b Bench) (*Benched, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	progs, err := c.programs(ctx, b.Plan)
	if err != nil {
		return nil, err
	}
	built, err := c.again().Build(ctx, b.Plan.Kernel)
	if err != nil {
		return nil, err
	}
	done := &Benched{}
	if done.Dir, err = c.runDir(b.Out, time.Now()); err != nil {
		return nil, err
	}
	counted, timed := b.plans()
	for _, all := range [][]turn{counted, timed} {
		for i := range all {
			all[i].built, all[i].progs = built, progs
		}
		runs, err := c.turns(ctx, done.Dir, all)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			done.add(run.Report, run.Figures)
		}
	}
	return done, writeWhole(filepath.Join(done.Dir, FiguresFile), []byte(done.Text))
}

// add takes in one run.
func (b *Benched) add(report *verdict.Report, figures map[string]string) {
	if b.Worst == nil || report.Verdict != b.Worst.Verdict && verdict.Worse(b.Worst.Verdict, report.Verdict) == report.Verdict {
		b.Worst = report
	}
	k, m := &report.Run.Kernel, &report.Run.Machine
	how := m.Accel
	if m.Deterministic {
		how += ", time counts instructions"
	}
	var text strings.Builder
	for _, line := range [][2]string{
		{"kernel", fmt.Sprintf("%s, %s, %d patches (%.12s)", k.Name, k.Profile, len(k.Applied), k.Key)},
		{"machine", fmt.Sprintf("%s; %d MiB, %d CPU", how, m.MemoryMiB, m.CPUs)},
	} {
		fmt.Fprintf(&text, "%s: %s\n", line[0], oneLine(line[1]))
	}
	for _, id := range slices.Sorted(maps.Keys(figures)) {
		fmt.Fprintf(&text, "pkg: %s\n%s", oneLine(id), figures[id])
	}
	b.Text += text.String()
}

// oneLine is s without what would end its line.
func oneLine(s string) string { return strings.ReplaceAll(Printable(s), "\n", " ") }
