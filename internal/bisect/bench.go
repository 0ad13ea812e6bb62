package bisect

import (
	"fmt"
	"math"

	"github.com/runvm/runvm/internal/compare"
	"github.com/runvm/runvm/internal/figure"
)

// A Bench is a figure of a benchmark that is worse at the last position than
// on the base.
type Bench struct {
	Program string `json:"program"`
	Name    string `json:"name"`
	Unit    string `json:"unit"`
	// Base and Last are the medians of both ends.
	Base float64 `json:"base"`
	Last float64 `json:"last"`
}

// LearnBench returns the figure that is worse in the runs of the last position
// than in those of the base, beyond chance and by threshold, 0.05 for 5 %, or
// more; of several the one that is worse by the most. nil is none.
func LearnBench(base, last []compare.Run, threshold float64) *Bench {
	var worst *compare.Benchmark
	all := compare.Benchmarks(base, last, threshold)
	for i := range all {
		if b := &all[i]; b.Regression && (worst == nil || math.Abs(b.Delta) > math.Abs(worst.Delta)) {
			worst = b
		}
	}
	if worst == nil {
		return nil
	}
	return &Bench{Program: worst.Program, Name: worst.Name, Unit: worst.Unit, Base: worst.Base.Center, Last: worst.Patched.Center}
}

// Judge says whether a run gives a figure like that of the last position
// rather than that of the base, and what it gives.
func (b *Bench) Judge(run compare.Run) (Mark, string) {
	v, ok := compare.Figure(run, figure.Key{Program: b.Program, Name: b.Name, Unit: b.Unit})
	switch {
	case !ok:
		return Skip, fmt.Sprintf("Benchmark%s gave no %s: %s %s", b.Name, b.Unit, run.Report.Verdict, run.Report.Reason)
	case math.Abs(v-b.Last) < math.Abs(v-b.Base):
		return Bad, b.text(v)
	}
	return Good, b.text(v)
}

func (b *Bench) text(v float64) string {
	return figure.Median{Center: v, Lo: v, Hi: v}.Text(b.Unit) + " " + b.Unit
}

// String is the figure for people.
func (b *Bench) String() string {
	return fmt.Sprintf("Benchmark%s of %s: %s on the base, %s with all patches", b.Name, b.Program, b.text(b.Base), b.text(b.Last))
}
