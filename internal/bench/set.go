// Package bench shows the figures of benchmarks: as a text table, as CSV, as
// plots, and against bars that are ratios of two of them.
//
// What a benchmark is about is read from its name: in Read/path=copy/size=4KiB
// path and size are keys. One key of a Layout tells the lines of a plot apart,
// another is its x axis; benchmarks that agree in all other keys are a group: one
// block of the table, one panel of a plot.
package bench

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"github.com/runvm/runvm/internal/figure"
)

// A Layout names the keys that are no group's.
type Layout struct {
	Line string // key that tells lines apart, "path"
	X    string // key of the x axis, "size"
}

// A Pair is a key of a benchmark's name with its value.
type Pair struct{ Key, Value string }

// A Row is one benchmark.
type Row struct {
	Program string
	Name    string // as go test writes it, without "Benchmark"
	Base    string // Name without its pairs
	Pairs   []Pair
	Medians map[string]figure.Median // by unit
}

// A Set is benchmarks, with what was said of how they ran.
type Set struct {
	Rows  []*Row
	Units []string // in the order in which they came first
	// Notes are the lines "key: value" that stood before figures, each once.
	Notes []Pair

	layout Layout
	table  *figure.Table
}

// New returns an empty set.
func New(l Layout) *Set {
	return &Set{layout: l, table: figure.NewTable()}
}

// maxNotes bounds Set.Notes.
const maxNotes = 100

// Add reads what the benchmarks of a program wrote; see figure.Table.Add.
func (s *Set) Add(program string, r io.Reader) error {
	defer s.sum()
	return s.table.Add(program, r, func(key, value string) {
		note := Pair{key, value}
		if len(s.Notes) < maxNotes && !slices.Contains(s.Notes, note) {
			s.Notes = append(s.Notes, note)
		}
	})
}

// sum makes Rows and Units of the figures there are.
func (s *Set) sum() {
	s.Rows, s.Units = nil, nil
	rows := map[[2]string]*Row{}
	for _, key := range s.table.Order {
		id := [2]string{key.Program, key.Name}
		row := rows[id]
		if row == nil {
			row = newRow(key)
			rows[id], s.Rows = row, append(s.Rows, row)
		}
		sample := benchmath.NewSample(slices.Clone(s.table.Values[key]), &benchmath.DefaultThresholds)
		row.Medians[key.Unit] = figure.Of(sample)
		if !slices.Contains(s.Units, key.Unit) {
			s.Units = append(s.Units, key.Unit)
		}
	}
}

// newRow takes a benchmark's name apart.
func newRow(key figure.Key) *Row {
	row := &Row{Program: key.Program, Name: key.Name, Medians: map[string]figure.Median{}}
	base, parts := benchfmt.Name(key.Name).Parts()
	row.Base = string(base)
	for _, part := range parts {
		k, v, found := bytes.Cut(bytes.TrimPrefix(part, []byte("/")), []byte("="))
		switch {
		case found:
			row.Pairs = append(row.Pairs, Pair{string(k), string(v)})
		case part[0] == '-': // GOMAXPROCS
			row.Pairs = append(row.Pairs, Pair{"cpus", string(part[1:])})
		default:
			row.Base += string(part)
		}
	}
	return row
}

// Value is what the name says of key, "" for nothing.
func (r *Row) Value(key string) string {
	for _, p := range r.Pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// with is the name of the benchmark that differs from r in the pairs given.
func (r *Row) with(other []Pair) string {
	name := r.Name
	for _, p := range other {
		name = strings.Replace(name, "/"+p.Key+"="+r.Value(p.Key), "/"+p.Key+"="+p.Value, 1)
	}
	return name
}

// A group is the rows that agree in all but the layout's keys.
type group struct {
	name  string // what they agree in
	pairs []Pair
	rows  []*Row
}

// groups sorts the rows into groups, both in the order in which they came
// first; within a group by x, then by line.
func (s *Set) groups() []*group {
	var all []*group
	lines := s.values(s.layout.Line)
	for _, row := range s.Rows {
		g := s.newGroup(row)
		if i := slices.IndexFunc(all, func(other *group) bool { return other.name == g.name }); i >= 0 {
			g = all[i]
		} else {
			all = append(all, g)
		}
		g.rows = append(g.rows, row)
	}
	for _, g := range all {
		slices.SortStableFunc(g.rows, func(a, b *Row) int {
			x, y := quantity(a.Value(s.layout.X)), quantity(b.Value(s.layout.X))
			if x != y {
				return int(min(max(x-y, -1), 1) * 2)
			}
			return slices.Index(lines, a.Value(s.layout.Line)) - slices.Index(lines, b.Value(s.layout.Line))
		})
	}
	return all
}

// newGroup is an empty group for row.
func (s *Set) newGroup(row *Row) *group {
	g := &group{name: row.Base}
	for _, p := range row.Pairs {
		if p.Key != s.layout.Line && p.Key != s.layout.X {
			g.name += " " + p.Key + "=" + p.Value
			g.pairs = append(g.pairs, p)
		}
	}
	return g
}

// values are those of a key, in the order in which they came first.
func (s *Set) values(key string) []string {
	var all []string
	for _, row := range s.Rows {
		if v := row.Value(key); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// suffixes of quantity, in bytes or as plain numbers.
func suffixes() []struct {
	text   string
	factor float64
} {
	return []struct {
		text   string
		factor float64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
		{"k", 1e3}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1},
	}
}

// quantity reads "4KiB", "64k" or "7"; 0 is none that can be drawn.
func quantity(s string) float64 {
	factor := 1.0
	for _, suffix := range suffixes() {
		if rest, found := strings.CutSuffix(s, suffix.text); found {
			s, factor = rest, suffix.factor
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n*factor < 1/largest || n*factor > largest {
		return 0
	}
	return n * factor
}
