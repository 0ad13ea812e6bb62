package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/runvm/runvm/internal/verdict"
)

// A tallied is how many cases of a test ended in which way.
type tallied struct{ passed, failed, skipped int }

// String returns "29/0/1".
func (n tallied) String() string { return fmt.Sprintf("%d/%d/%d", n.passed, n.failed, n.skipped) }

func (n *tallied) add(o tallied) {
	n.passed, n.failed, n.skipped = n.passed+o.passed, n.failed+o.failed, n.skipped+o.skipped
}

// Matrix writes a table for each program whose tests have subtests: a row for a
// test, a column for what its subtests are called, and in each cell how many of
// the cases below passed, failed and were skipped. A case is a test without
// subtests. Below the tables stand the cases that were skipped or failed, with
// the reason.
func Matrix(w io.Writer, s Source) error {
	var b strings.Builder
	for _, suite := range suites(s.Report) {
		top := tree(suite.cases)
		if slices.ContainsFunc(top, func(n *node) bool { return len(n.below) > 0 }) {
			matrix(&b, suite.name, top)
		}
	}
	if b.Len() == 0 {
		b.WriteString("no test of this run has subtests\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// matrix writes the table of one program.
func matrix(b *strings.Builder, name string, top []*node) {
	columns := columnsOf(top)
	fmt.Fprintf(b, "%s  passed/failed/skipped\n", line(name))
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "\t%s\tall\n", strings.Join(lines(columns), "\t"))
	var all tallied
	said := &remarks{}
	for _, n := range top {
		said.collect(n, nil)
		cells, total := n.row(columns)
		all.add(total)
		fmt.Fprintf(tw, "%s\t%s\t%s\n", line(n.base), strings.Join(cells, "\t"), total)
	}
	fmt.Fprintf(tw, "all%s\t%s\n", strings.Repeat("\t", len(columns)), all)
	_ = tw.Flush() // to a strings.Builder
	said.write(b)
}

// columnsOf are what the subtests are called, in their order.
func columnsOf(top []*node) []string {
	var columns []string
	for _, n := range top {
		for _, sub := range n.below {
			if !slices.Contains(columns, sub.base) {
				columns = append(columns, sub.base)
			}
		}
	}
	return columns
}

// row is a cell for each column, and the sum of them, or n's own where it has no
// subtests.
func (n *node) row(columns []string) (cells []string, total tallied) {
	cells = make([]string, len(columns))
	for i := range cells {
		cells[i] = "-"
	}
	there := *n
	there.below = slices.DeleteFunc(slices.Clone(n.below), func(sub *node) bool { return len(sub.below) == 0 && sub.Verdict == verdict.Skipped })
	for _, sub := range there.below {
		cells[slices.Index(columns, sub.base)] = sub.tally().String()
	}
	if len(there.below) > 0 || len(n.below) == 0 || wrong(n.Verdict) {
		total = there.tally()
	}
	return cells, total
}

// lines makes lines of names.
func lines(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = line(name)
	}
	return all
}

// own says that n counts: it has no subtests, or went wrong apart from them.
func (n *node) own() bool {
	return len(n.below) == 0 || wrong(n.Verdict) && !slices.ContainsFunc(n.below, func(sub *node) bool { return sub.tally().failed > 0 })
}

// tally counts the cases of n.
func (n *node) tally() tallied {
	var sum tallied
	for _, sub := range n.below {
		sum.add(sub.tally())
	}
	if !n.own() {
		return sum
	}
	switch {
	case wrong(n.Verdict):
		sum.failed++
	case n.Verdict == verdict.Skipped:
		sum.skipped++
	default:
		sum.passed++
	}
	return sum
}

// remarks are what is to be said of cases that did not pass: the same of several
// columns is said once.
type remarks struct {
	all []remark
}

type remark struct {
	verdict      verdict.Verdict
	test, reason string
	columns      []string
}

// collect takes the cases of n; path are the names above it.
func (r *remarks) collect(n *node, path []string) {
	path = append(slices.Clone(path), n.base)
	for _, sub := range n.below {
		r.collect(sub, path)
	}
	if !n.own() || n.Verdict == verdict.Pass {
		return
	}
	said := remark{verdict: n.Verdict, reason: n.Reason, test: path[0]}
	if len(path) == 2 && n.Verdict == verdict.Skipped {
		said.test, said.columns = "all", path[1:]
	} else if len(path) > 1 {
		said.test, said.columns = strings.Join(slices.Delete(slices.Clone(path), 1, 2), "/"), path[1:2]
	}
	for i, old := range r.all {
		if old.verdict == said.verdict && old.test == said.test && old.reason == said.reason {
			for _, c := range said.columns {
				if !slices.Contains(r.all[i].columns, c) {
					r.all[i].columns = append(r.all[i].columns, c)
				}
			}
			return
		}
	}
	r.all = append(r.all, said)
}

// write writes those that failed first.
func (r *remarks) write(b *strings.Builder) {
	slices.SortStableFunc(r.all, func(x, y remark) int {
		switch {
		case wrong(x.verdict) == wrong(y.verdict):
			return 0
		case wrong(x.verdict):
			return -1
		}
		return 1
	})
	for _, said := range r.all {
		fmt.Fprintf(b, "%s  %s", said.verdict, line(said.test))
		if len(said.columns) > 0 {
			fmt.Fprintf(b, "  (%s)", line(strings.Join(said.columns, ", ")))
		}
		fmt.Fprintf(b, "  %s\n", line(said.reason))
	}
}
