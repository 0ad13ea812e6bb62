package run

import (
	"slices"
	"testing"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/wire"
)

// TestBenchmarksAreShortWhereTimeCounts: only there, and the tests of other guests
// stay as they are.
func TestBenchmarksAreShortWhereTimeCounts(t *testing.T) {
	ps := &programs{
		selection: gotest.Selection{Bench: "."},
		tests:     []wire.Test{{Argv: []string{"go.test", "-test.bench=."}, Marks: true}, {Argv: []string{"check.sh"}}},
	}
	counted := ps.testsIn(Guest{Deterministic: true})
	if want := []string{"go.test", "-test.benchtime=125ms", "-test.bench=."}; !slices.Equal(counted[0].Argv, want) {
		t.Errorf("counted: %q, want %q", counted[0].Argv, want)
	}
	if !slices.Equal(counted[1].Argv, []string{"check.sh"}) {
		t.Errorf("a script: %q", counted[1].Argv)
	}
	if timed := ps.testsIn(Guest{}); len(timed[0].Argv) != 2 {
		t.Errorf("timed: %q", timed[0].Argv)
	}
}
