package compare

import (
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"github.com/runvm/runvm/internal/figure"
)

// MinPairs is how many runs a side has to have for any difference of its
// benchmarks to be more than chance at Alpha.
const MinPairs = 4

// A Benchmark is one figure of a benchmark on both sides.
type Benchmark struct {
	Program string        `json:"program"`
	Name    string        `json:"name"`
	Unit    string        `json:"unit"` // "sec/op", "B/s"
	Base    figure.Median `json:"base"`
	Patched figure.Median `json:"patched"`
	// Delta is the relative difference of the medians, 0.1 for 10 % more; 0
	// where the base's is 0.
	Delta float64 `json:"delta"`
	// P is of the Mann-Whitney U test, two-sided.
	P float64 `json:"p"`
	// Differs says that P is below Alpha.
	Differs bool `json:"differs,omitempty"`
	// Regression and Improved say that it differs by the threshold or more,
	// in the direction that is worse or better for this unit.
	Regression bool     `json:"regression,omitempty"`
	Improved   bool     `json:"improved,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Benchmarks compares the benchmarks that both sides ran. threshold as in
// Result.
func Benchmarks(base, patched []Run, threshold float64) []Benchmark {
	b, p := read(base), read(patched)
	var all []Benchmark
	for _, f := range b.Order {
		if len(p.Values[f]) > 0 {
			all = append(all, compare(b, p, f, threshold))
		}
	}
	return all
}

// read reads the figures of all runs of a side.
func read(runs []Run) *figure.Table {
	all := figure.NewTable()
	for _, run := range runs {
		for _, id := range slices.Sorted(maps.Keys(run.Figures)) {
			// The text is in memory: there is nothing to fail.
			_ = all.Add(id, strings.NewReader(run.Figures[id]), nil)
		}
	}
	return all
}

// Figure is the median of what run gives for key; false where it gives none.
func Figure(run Run, key figure.Key) (float64, bool) {
	values := read([]Run{run}).Values[key]
	if len(values) == 0 {
		return 0, false
	}
	return figure.Of(benchmath.NewSample(values, &benchmath.DefaultThresholds)).Center, true
}

// compare compares one figure of base with that of patched.
func compare(base, patched *figure.Table, key figure.Key, threshold float64) Benchmark {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = Alpha
	s1 := benchmath.NewSample(base.Values[key], &thresholds)
	s2 := benchmath.NewSample(patched.Values[key], &thresholds)
	b := Benchmark{Program: key.Program, Name: key.Name, Unit: key.Unit, Base: figure.Of(s1), Patched: figure.Of(s2)}
	c := benchmath.AssumeNothing.Compare(s1, s2)
	b.P, b.Differs = c.P, c.P < Alpha
	for _, w := range c.Warnings {
		b.Notes = append(b.Notes, w.Error())
	}
	more := b.Patched.Center - b.Base.Center
	if b.Base.Center != 0 {
		b.Delta = more / math.Abs(b.Base.Center)
	}
	// What is more than nothing is more by any threshold.
	if threshold > 0 && b.Differs && (math.Abs(b.Delta) >= threshold || b.Base.Center == 0) {
		better := float64(base.Better[key])
		b.Regression, b.Improved = more*better < 0, more*better > 0
	}
	return b
}
