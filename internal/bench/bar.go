package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/BurntSushi/toml"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"
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
	Figure float64
	// Met counts the benchmarks that meet the bar, All those that were measured.
	Met, All int
}

// OK tells whether all that was measured, and that is something, meets the bar.
func (f *Finding) OK() bool { return f.All > 0 && f.Met == f.All }

// Check holds bars against s.
func (s *Set) Check(bars []Bar) []Finding {
	all := make([]Finding, len(bars))
	for i := range bars {
		all[i] = s.check(&bars[i])
	}
	return all
}

func (s *Set) check(b *Bar) Finding {
	f := Finding{Bar: b, Figure: math.Inf(-1)}
	for _, row := range s.Rows {
		// The filter asks for no file and no unit, so that it is all or nothing.
		match, err := b.filter.Match(&benchfmt.Result{Name: benchfmt.Name(row.Name)})
		figure, ok := s.ratio(row, b)
		if err != nil || !match.All() || !ok {
			continue
		}
		f.All++
		if figure <= *b.Most {
			f.Met++
		}
		if figure > f.Figure {
			f.Figure, f.Of = figure, row.Name
		}
	}
	return f
}

// ratio is what b is about for row; false when that was not measured.
func (s *Set) ratio(row *Row, b *Bar) (float64, bool) {
	own, ok := row.Medians[b.Unit]
	if !ok || b.Than == "" {
		return own.Center, ok
	}
	name := row.with(b.than)
	for _, other := range s.Rows {
		if m, ok := other.Medians[b.Unit]; ok && other.Name == name && other.Program == row.Program && other != row && m.Center > 0 {
			return own.Center / m.Center, true
		}
	}
	return 0, false
}

// Findings writes a line for each finding.
func Findings(w io.Writer, all []Finding) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for i := range all {
		f := &all[i]
		switch {
		case f.All == 0:
			fmt.Fprintf(tw, "unknown\t\t%s\tnot measured\n", clean(f.Bar.Claim))
		default:
			word := map[bool]string{true: "met", false: "MISSED"}[f.OK()]
			fmt.Fprintf(tw, "%s\t%.3f\t%s\t≤ %g in %d of %d, worst %s\n", word, f.Figure, clean(f.Bar.Claim), *f.Bar.Most, f.Met, f.All, clean(f.Of))
		}
	}
	tw.Flush()
	_, err := w.Write(b.Bytes())
	return err
}
