package bench

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Text writes a block for each group, a line for each benchmark, a column for
// each unit: medians, with the larger half of their 95 % intervals.
func (s *Set) Text(w io.Writer) error {
	var b bytes.Buffer
	for _, g := range s.groups() {
		s.block(&b, g)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "%-8s %s\n", clean(n.Key), clean(n.Value))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// block writes one group.
func (s *Set) block(b *bytes.Buffer, g *group) {
	fmt.Fprintf(b, "%s\n", clean(g.name))
	units := s.unitsOf(g)
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "  %s\t%s\t%s\tn\n", s.layout.X, s.layout.Line, clean(strings.Join(units, "\t")))
	for _, row := range g.rows {
		fmt.Fprintf(tw, "  %s\t%s", clean(row.Value(s.layout.X)), clean(row.Value(s.layout.Line)))
		most := 0
		for _, unit := range units {
			cell := ""
			if m, ok := row.Medians[unit]; ok {
				cell, most = m.Text(unit), max(most, m.N)
			}
			fmt.Fprintf(tw, "\t%s", cell)
		}
		fmt.Fprintf(tw, "\t%d\n", most)
	}
	tw.Flush()
	fmt.Fprintln(b)
}

// unitsOf are the units that a group has.
func (s *Set) unitsOf(g *group) []string {
	return slices.DeleteFunc(slices.Clone(s.Units), func(unit string) bool {
		return !slices.ContainsFunc(g.rows, func(r *Row) bool { _, ok := r.Medians[unit]; return ok })
	})
}

// CSV writes a line for each figure: its benchmark, the keys of that, the unit,
// the number of runs, the median, and the bounds of its 95 % interval.
func (s *Set) CSV(w io.Writer) error {
	var keys []string
	for _, row := range s.Rows {
		for _, p := range row.Pairs {
			if !slices.Contains(keys, p.Key) {
				keys = append(keys, p.Key)
			}
		}
	}
	out := csv.NewWriter(w)
	_ = out.Write(slices.Concat([]string{"program", "benchmark"}, keys, []string{"unit", "n", "median", "low", "high"}))
	for _, row := range s.Rows {
		for _, unit := range s.Units {
			m, ok := row.Medians[unit]
			if !ok {
				continue
			}
			line := []string{row.Program, row.Base}
			for _, key := range keys {
				line = append(line, row.Value(key))
			}
			_ = out.Write(append(line, unit, strconv.Itoa(m.N), number(m.Center), number(m.Lo), number(m.Hi)))
		}
	}
	out.Flush()
	return out.Error() // of any Write
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// clean makes s printable but for tabs: guests write it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
