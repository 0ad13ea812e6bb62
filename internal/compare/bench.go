package compare

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// Confidence is the level of the intervals around medians.
const Confidence = 0.95

// MinPairs is how many runs a side has to have for any difference of its
// benchmarks to be more than chance at Alpha.
const MinPairs = 4

// maxFigures bounds the benchmarks times units of one side.
const maxFigures = 10000

// A Benchmark is one figure of a benchmark on both sides.
type Benchmark struct {
	Program string `json:"program"`
	Name    string `json:"name"`
	Unit    string `json:"unit"` // "sec/op", "B/s"
	Base    Median `json:"base"`
	Patched Median `json:"patched"`
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

// A Median is the summary of a side's figures.
type Median struct {
	N      int     `json:"n"`
	Center float64 `json:"center"`
	// Lo and Hi bound the interval of Confidence; both are Center where there
	// are too few figures for one.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// A figure names one number that a benchmark gives.
type figure struct{ program, name, unit string }

// figures are the numbers of a side.
type figures struct {
	order  []figure
	values map[figure][]float64
	better map[figure]int // 1 for higher, -1 for lower, 0 for not known
}

// benchmarks compares the benchmarks that both sides ran.
func benchmarks(base, patched []Run, threshold float64) []Benchmark {
	b, p := read(base), read(patched)
	var all []Benchmark
	for _, f := range b.order {
		if len(p.values[f]) > 0 {
			all = append(all, b.compare(p, f, threshold))
		}
	}
	return all
}

// read reads the figures of all runs of a side.
func read(runs []Run) *figures {
	all := &figures{values: map[figure][]float64{}, better: map[figure]int{}}
	for _, run := range runs {
		var programs []string
		for id := range run.Figures {
			programs = append(programs, id)
		}
		slices.Sort(programs)
		for _, id := range programs {
			all.add(id, run.Figures[id])
		}
	}
	return all
}

// add reads what the benchmarks of a program wrote; lines that are no result
// are left out, as benchstat does.
func (f *figures) add(program, text string) {
	reader := benchfmt.NewReader(strings.NewReader(text), program)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, v := range result.Values {
			key := figure{program, result.Name.String(), v.Unit}
			_, known := f.values[key]
			if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || !known && len(f.order) >= maxFigures {
				continue
			}
			if !known {
				f.order = append(f.order, key)
			}
			f.values[key] = append(f.values[key], v.Value)
			f.better[key] = reader.Units().GetBetter(v.Unit)
		}
	}
}

// compare compares one figure of b with that of p.
func (f *figures) compare(p *figures, key figure, threshold float64) Benchmark {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = Alpha
	s1 := benchmath.NewSample(f.values[key], &thresholds)
	s2 := benchmath.NewSample(p.values[key], &thresholds)
	b := Benchmark{Program: key.program, Name: key.name, Unit: key.unit, Base: median(s1), Patched: median(s2)}
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
		better := float64(f.better[key])
		b.Regression, b.Improved = more*better < 0, more*better > 0
	}
	return b
}

// median sums a sample up.
func median(s *benchmath.Sample) Median {
	sum := benchmath.AssumeNothing.Summary(s, Confidence)
	m := Median{N: len(s.Values), Center: sum.Center, Lo: sum.Lo, Hi: sum.Hi}
	if math.IsInf(sum.Lo, 0) || math.IsInf(sum.Hi, 0) {
		m.Lo, m.Hi = m.Center, m.Center
	}
	return m
}
