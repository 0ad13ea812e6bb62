package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/runvm/runvm/internal/verdict"
)

// A node is an entry with its subtests.
type node struct {
	entry
	base  string // name below the parent
	below []*node
}

// KTAP writes s in the Kernel Test Anything Protocol, version 1: a test for
// the run and for each program, their tests and subtests below them.
func KTAP(w io.Writer, s Source) error {
	all := suites(s.Report)
	var b strings.Builder
	fmt.Fprintf(&b, "KTAP version 1\n1..%d\n", len(all))
	for i, suite := range all {
		n := &node{entry: suite.sum(), base: suite.name, below: tree(suite.cases)}
		n.ktap(&b, i+1, "")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sum is the suite as an entry: the worst of its cases, skipped only when all
// of them are.
func (s suite) sum() entry {
	var worst entry
	worst.Verdict = verdict.Pass
	skipped := 0
	for _, e := range s.cases {
		if e.Verdict == verdict.Skipped {
			skipped++
		} else if worse(e.Verdict, worst.Verdict) {
			worst.Verdict, worst.Reason = e.Verdict, join(e.Name, e.Reason)
		}
	}
	if skipped > 0 && skipped == len(s.cases) {
		worst.Verdict = verdict.Skipped
	}
	return worst
}

// tree puts entries below those whose name they carry on with.
func tree(cases []entry) []*node {
	var top []*node
	known := map[string]*node{}
	for _, e := range cases {
		n := &node{entry: e, base: e.Name}
		for parent := e.Name; n.base == e.Name; {
			i := strings.LastIndexByte(parent, '/')
			if i < 0 {
				top = append(top, n)
				break
			}
			parent = parent[:i]
			if p := known[parent]; p != nil {
				n.base = e.Name[i+1:]
				p.below = append(p.below, n)
			}
		}
		known[e.Name] = n
	}
	return top
}

// ktap writes the result of n after those of what is below it.
func (n *node) ktap(b *strings.Builder, number int, indent string) {
	if len(n.below) > 0 {
		fmt.Fprintf(b, "%s  KTAP version 1\n%s  1..%d\n", indent, indent, len(n.below))
		for i, sub := range n.below {
			sub.ktap(b, i+1, indent+"  ")
		}
	}
	diagnose(b, indent, n.entry)
	result, note := ktapResult(n.entry)
	fmt.Fprintf(b, "%s%s %d %s", indent, result, number, ktapName(n.base))
	if note != "" {
		b.WriteString(" # " + note)
	}
	b.WriteString("\n")
}

// diagnosed is how many lines of an output are diagnostics of its result.
const diagnosed = 40

// diagnose writes what is known of a result that is no pass. The bar keeps
// what a guest wrote from being read as a result of ours.
func diagnose(b *strings.Builder, indent string, e entry) {
	if !wrong(e.Verdict) {
		return
	}
	text := plain(e.Output)
	if len(e.crashes) > 0 {
		text = crashText(e.crashes)
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if over := len(lines) - diagnosed; over > 0 && len(e.crashes) == 0 {
		lines = lines[over:]
	}
	for _, l := range lines[:min(len(lines), diagnosed)] {
		if l = line(l); l != "" {
			fmt.Fprintf(b, "%s# | %s\n", indent, l)
		}
	}
}

// ktapResult is the result of e and what stands behind the number sign.
func ktapResult(e entry) (result, note string) {
	reason := line(e.Reason)
	switch e.Verdict {
	case verdict.Pass:
		return "ok", reason
	case verdict.Skipped:
		return "ok", strings.TrimSpace("SKIP " + reason)
	case verdict.Fail:
		return "not ok", reason
	case verdict.Hang:
		return "not ok", strings.TrimSpace("TIMEOUT " + reason)
	}
	return "not ok", "ERROR " + join(string(e.Verdict), reason)
}

// ktapName is name with what a description may not have (number signs, line
// breaks), and the percent sign, as %XX.
func ktapName(name string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(name, "?") {
		switch {
		case r == '#' || r == '%' || r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "%%%02X", r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
