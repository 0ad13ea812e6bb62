package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/BurntSushi/toml"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
	"golang.org/x/perf/benchproc"

	"github.com/runvm/runvm/internal/figure"
)

// A Bar is a claim about figures: that one of a benchmark is at most so many
// times that of another, or at most so much.
type Bar struct {
	// Claim is the sentence.
	Claim string
	// Of are the benchmarks that it is about, as a filter of x/perf's benchproc:
	// "/path:copy /size:(4KiB OR 64KiB)".
	Of string
	// Than is in what the benchmark differs that each of these is compared
	// with: "path=copy", or several with spaces between; "" compares with Most
	// itself.
	Than string
	// Unit is that of the figures.
	Unit string
	// Most is the largest ratio (or figure, without Than) that meets the bar.
	Most *float64
	// Cells is how many benchmarks it is about at least; 0 is 1.
	Cells int

	filter *benchproc.Filter
	than   []Pair
}

// Bars reads a TOML file of [[bar]]s, whose keys are the fields of Bar in lower
// case.
func Bars(data []byte) ([]Bar, error) {
	var file struct{ Bar []Bar }
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %s", unknown[0])
	}
	if len(file.Bar) == 0 {
		return nil, errors.New("no [[bar]] in it")
	}
	for i := range file.Bar {
		if err := file.Bar[i].parse(); err != nil {
			return nil, fmt.Errorf("bar %d: %w", i+1, err)
		}
	}
	return file.Bar, nil
}

func (b *Bar) parse() (err error) {
	if b.Cells < 0 {
		return fmt.Errorf("cells: %d is less than 0", b.Cells)
	}
	if b.Claim == "" || b.Of == "" || b.Unit == "" || b.Most == nil {
		return errors.New("claim, of, unit and most are needed")
	}
	if b.filter, err = benchproc.NewFilter(b.Of); err != nil {
		return fmt.Errorf("of: %w", err)
	}
	for _, pair := range strings.Fields(b.Than) {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("than: %q is not KEY=VALUE", pair)
		}
		b.than = append(b.than, Pair{key, value})
	}
	return nil
}

// A Finding is what figures say of a Bar.
type Finding struct {
	Bar *Bar
	// Of is the benchmark that is worst, "" when none was measured together
	// with what it is compared with.
	Of string
	// Figure is its ratio, or figure without Than.
	Figure figure.Median
	// Met counts the benchmarks that meet the bar, Sure those whose whole interval
	// does, All those that were measured.
	Met, Sure, All int
}

// OK tells whether all that was measured, and that is what was to be, meets the bar.
func (f *Finding) OK() bool { return f.All >= max(f.Bar.Cells, 1) && f.Met == f.All }

// Check holds bars against s.
func (s *Set) Check(bars []Bar) []Finding {
	all := make([]Finding, len(bars))
	for i := range bars {
		all[i] = s.check(&bars[i])
	}
	return all
}

func (s *Set) check(b *Bar) Finding {
	f := Finding{Bar: b}
	for _, row := range s.Rows {
		// The filter asks for no file and no unit, so that it is all or nothing.
		match, err := b.filter.Match(&benchfmt.Result{Name: benchfmt.Name(row.Name)})
		ratio, ok := s.ratio(row, b)
		if err != nil || !match.All() || !ok {
			continue
		}
		f.All++
		if ratio.Center <= *b.Most {
			f.Met++
		}
		if ratio.N >= figure.MinInterval && ratio.Hi <= *b.Most {
			f.Sure++
		}
		if f.All == 1 || ratio.Center > f.Figure.Center {
			f.Figure, f.Of = ratio, row.Name
		}
	}
	return f
}

// ratio is what b is about for row; false when that was not measured.
func (s *Set) ratio(row *Row, b *Bar) (figure.Median, bool) {
	own, ok := row.Medians[b.Unit]
	if !ok || b.Than == "" {
		return own, ok
	}
	name := row.with(b.than)
	for _, other := range s.Rows {
		if m, ok := other.Medians[b.Unit]; ok && other.Name == name && other.Program == row.Program && other != row && m.Center > 0 {
			return s.compared(row, other, b.Unit), true
		}
	}
	return figure.Median{}, false
}

// compared is the median of the ratios of two benchmarks, each within one run, for
// what makes runs differ is the same for both; where one of them has not run as
// often as others have, the ratio of their medians.
func (s *Set) compared(row, other *Row, unit string) figure.Median {
	own, others := s.table.Values[figure.Key{Program: row.Program, Name: row.Name, Unit: unit}],
		s.table.Values[figure.Key{Program: other.Program, Name: other.Name, Unit: unit}]
	if len(own) < s.runs(unit) || len(others) < s.runs(unit) || slices.Contains(others, 0) {
		ratio := row.Medians[unit].Center / other.Medians[unit].Center
		return figure.Median{N: 1, Center: ratio, Lo: ratio, Hi: ratio}
	}
	ratios := make([]float64, len(own))
	for i := range own {
		ratios[i] = own[i] / others[i]
	}
	return figure.Of(benchmath.NewSample(ratios, &benchmath.DefaultThresholds))
}

// runs is how often the benchmarks that give a unit have run.
func (s *Set) runs(unit string) int {
	most := 0
	for _, row := range s.Rows {
		most = max(most, row.Medians[unit].N)
	}
	return most
}

// Findings writes a line for each finding: the worst figure with its interval, and
// in how many benchmarks the bar is met, and is with all of the interval.
func Findings(w io.Writer, all []Finding) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for i := range all {
		f := &all[i]
		word, interval, sure := "met", "", ""
		switch {
		case f.All == 0:
			fmt.Fprintf(tw, "unknown\t\t\t%s\tnot measured\n", clean(f.Bar.Claim))
			continue
		case f.Met < f.All:
			word = "MISSED"
		case !f.OK():
			word = fmt.Sprintf("unknown: %d of %d", f.All, f.Bar.Cells)
		}
		if f.Figure.N >= figure.MinInterval {
			interval, sure = fmt.Sprintf("%.3f to %.3f", f.Figure.Lo, f.Figure.Hi), fmt.Sprintf(", surely in %d", f.Sure)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%s\t%s\t≤ %g in %d of %d%s, worst %s\n", word, f.Figure.Center, interval,
			clean(f.Bar.Claim), *f.Bar.Most, f.Met, f.All, sure, clean(f.Of))
	}
	tw.Flush()
	_, err := w.Write(b.Bytes())
	return err
}
