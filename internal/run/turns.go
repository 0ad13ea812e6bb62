package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/runvm/runvm/internal/compare"
)

// A turn is one of several runs whose results are compared.
type turn struct {
	name string // of its folder
	prepared
}

// turns runs all in folders of dir, and returns what came of them in the order
// of all. The first error ends it.
func (c *Conductor) turns(ctx context.Context, dir string, all []turn) ([]compare.Run, error) {
	var ended atomic.Int64
	return sideBySide(ctx, atOnce(all), all, func(ctx context.Context, t *turn) (compare.Run, error) {
		run, err := c.compared(ctx, &t.prepared, filepath.Join(dir, t.name))
		if err == nil {
			c.say("%s (%d of %d): %s", t.name, ended.Add(1), len(all), inShort(run.Report))
		}
		return run, err
	})
}

// atOnce is how many guests run at a time: one on each CPU, if there is memory for
// them and the time of all counts instructions, for that is the same whatever else
// this machine does; else one, which nothing of ours slows. A guest waits for the
// host when it writes to its disk, for which those are that are empty.
func atOnce(all []turn) int {
	memory := 1
	for _, t := range all {
		g := &t.plan.Guest
		if !g.Deterministic || g.Disk.MiB > 0 {
			return 1
		}
		memory = max(memory, g.MemoryMiB)
	}
	return max(1, min(runtime.GOMAXPROCS(0), availableMiB()/memory))
}

// availableMiB is how much memory programs may still take from this machine, in MiB.
func availableMiB() int {
	b, err := os.ReadFile("/proc/meminfo")
	_, rest, found := strings.Cut(string(b), "\nMemAvailable:")
	var kib int
	if _, scanErr := fmt.Sscan(rest, &kib); err != nil || !found || scanErr != nil {
		return 0
	}
	return kib >> 10
}

// sideBySide does all, no more than limit at a time, and begins in their order.
func sideBySide(ctx context.Context, limit int, all []turn, do func(context.Context, *turn) (compare.Run, error)) ([]compare.Run, error) {
	done := make([]compare.Run, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := range all {
		t := &all[i]
		group.Go(func() (err error) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if done[i], err = do(ctx, t); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return done, nil
}
