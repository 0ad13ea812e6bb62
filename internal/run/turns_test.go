package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runvm/runvm/internal/compare"
	"github.com/runvm/runvm/internal/verdict"
)

// TestCountedTurnsRunSideBySide: on all CPUs where time counts instructions, and
// one at a time where one guest that does not would be slowed by others.
func TestCountedTurnsRunSideBySide(t *testing.T) {
	b := Bench{Counted: 3, Timed: 2, Plan: Plan{Guest: Guest{Seed: 5}}}
	counted, timed := b.plans()
	if got, want := atOnce(counted), runtime.GOMAXPROCS(0); got != want {
		t.Errorf("%d counted guests at once, want %d", got, want)
	}
	if n := availableMiB(); n < 1 || n > 1<<30 {
		t.Errorf("%d MiB are free", n)
	}
	large, writes := b, b
	large.Plan.Guest.MemoryMiB, writes.Plan.Guest.Disk.MiB = 1<<40, 64
	for what, b := range map[string]*Bench{"that there is no memory for": &large, "that write to a disk": &writes} {
		if all, _ := b.plans(); atOnce(all) != 1 {
			t.Errorf("%d guests at once %s, want 1", atOnce(all), what)
		}
	}
	if got := atOnce(slices.Concat(counted, timed[:1])); got != 1 {
		t.Errorf("%d guests at once beside one that is timed, want 1", got)
	}
	var names []string
	for _, turn := range slices.Concat(counted, timed) {
		names = append(names, fmt.Sprintf("%s/%d", turn.name, turn.plan.Guest.Seed))
	}
	if want := "counted-1/5 counted-2/6 counted-3/7 timed-1/5 timed-2/5"; strings.Join(names, " ") != want {
		t.Errorf("turns %s, want %s", names, want)
	}
}

// TestPairsShareASeed: both sides of an A/B, and no two pairs.
func TestPairsShareASeed(t *testing.T) {
	var names []string
	for _, turn := range inPairs([2]turn{{name: "base"}, {name: "patched"}}, 2) {
		names = append(names, fmt.Sprintf("%s/%d", turn.name, turn.plan.Guest.Seed))
	}
	if want := "base-1/0 patched-1/0 base-2/1 patched-2/1"; strings.Join(names, " ") != want {
		t.Errorf("turns %s, want %s", names, want)
	}
}

// TestTurnsKeepTheirOrder: the later a turn begins the sooner it ends here, and
// no more than two run at a time.
func TestTurnsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := make([]turn, 6)
		for i := range all {
			all[i].plan.Guest.Seed = int64(i)
		}
		start := time.Now()
		runs, err := sideBySide(t.Context(), 2, all, func(_ context.Context, turn *turn) (compare.Run, error) {
			time.Sleep(time.Duration(10-turn.plan.Guest.Seed) * time.Second)
			return compare.Run{Report: &verdict.Report{Reason: fmt.Sprint(turn.plan.Guest.Seed)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, run := range runs {
			if want := fmt.Sprint(i); run.Report.Reason != want {
				t.Errorf("result %d is of turn %s", i, run.Report.Reason)
			}
		}
		// 10, 7, 6 beside 9, 8, 5.
		if took := time.Since(start); took != 23*time.Second {
			t.Errorf("took %v, want 23 s: two at a time", took)
		}
	})
}

// TestTurnsEndWithTheFirstError: which names its turn, cuts short what runs beside
// it and lets nothing else begin.
func TestTurnsEndWithTheFirstError(t *testing.T) {
	all := []turn{{name: "long"}, {name: "bad"}, {name: "late"}}
	bad := errors.New("no guest")
	runs, err := sideBySide(t.Context(), 2, all, func(ctx context.Context, turn *turn) (compare.Run, error) {
		switch turn.name {
		case "bad":
			return compare.Run{}, bad
		case "late":
			t.Error("a turn began after another had failed")
		}
		<-ctx.Done()
		return compare.Run{}, context.Cause(ctx)
	})
	if runs != nil || !errors.Is(err, bad) || !strings.HasPrefix(err.Error(), "bad: ") {
		t.Errorf("got %v, %v, want bad: %v", runs, err, bad)
	}
}
