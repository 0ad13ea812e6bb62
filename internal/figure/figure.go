// Package figure reads what Go's benchmarks write and sums it up: medians with
// confidence intervals, by golang.org/x/perf.
package figure

import (
	"fmt"
	"io"
	"math"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
	"golang.org/x/perf/benchunit"
)

// Confidence is the level of the intervals around medians.
const Confidence = 0.95

// Max bounds the benchmarks times units of a Table.
const Max = 100_000

// A Key names one number that a benchmark gives.
type Key struct {
	Program string
	Name    string // without "Benchmark"
	Unit    string // "sec/op", "B/s"
}

// A Table is what benchmarks gave, run after run.
type Table struct {
	// Order lists the keys of Values in the order in which they came first.
	Order  []Key
	Values map[Key][]float64
	// Better is 1 for units of which more is better, -1 for less, 0 for not
	// known.
	Better map[Key]int
}

// NewTable returns an empty one.
func NewTable() *Table {
	return &Table{Values: map[Key][]float64{}, Better: map[Key]int{}}
}

// Add reads what the benchmarks of a program wrote: the format of `go test
// -bench`. A line "pkg: name" in it names the program of what follows. Lines
// that are no result are left out, as benchstat does; an error is one of r.
// config, if not nil, is told of the lines "key: value" that apply to a result.
func (t *Table) Add(program string, r io.Reader, config func(key, value string)) error {
	reader := benchfmt.NewReader(r, program)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, c := range result.Config {
			if config != nil && c.File {
				config(c.Key, string(c.Value))
			}
		}
		own := program
		if pkg := result.GetConfig("pkg"); pkg != "" {
			own = pkg
		}
		for _, v := range result.Values {
			t.add(Key{own, result.Name.String(), v.Unit}, v.Value, reader.Units().GetBetter(v.Unit))
		}
	}
	return reader.Err()
}

func (t *Table) add(key Key, value float64, better int) {
	_, known := t.Values[key]
	if math.IsNaN(value) || math.IsInf(value, 0) || !known && len(t.Order) >= Max {
		return
	}
	if !known {
		t.Order = append(t.Order, key)
	}
	t.Values[key] = append(t.Values[key], value)
	t.Better[key] = better
}

// MinInterval is how many figures there must be for an interval: 5 are all above
// or all below the median more often than 1 in 20 times, 2/2^5.
const MinInterval = 6

// A Median is the summary of figures.
type Median struct {
	N      int     `json:"n"`
	Center float64 `json:"center"`
	// Lo and Hi bound the interval of Confidence; both are Center where there
	// are too few figures for one.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// Of sums a sample up.
func Of(s *benchmath.Sample) Median {
	sum := benchmath.AssumeNothing.Summary(s, Confidence)
	m := Median{N: len(s.Values), Center: sum.Center, Lo: sum.Lo, Hi: sum.Hi}
	if math.IsInf(sum.Lo, 0) || math.IsInf(sum.Hi, 0) {
		m.Lo, m.Hi = m.Center, m.Center
	}
	return m
}

// Text is "12.3µ ±4%"; without the interval where there is none.
func (m Median) Text(unit string) string {
	s := benchunit.Scale(m.Center, benchunit.ClassOf(unit))
	if m.Lo == m.Hi || m.Center == 0 {
		return s
	}
	return fmt.Sprintf("%s ±%.0f%%", s, 100*max(m.Hi-m.Center, m.Center-m.Lo)/math.Abs(m.Center))
}
