package ktap

import (
	"fmt"
	"strings"
)

// A level is a list of results of one indentation while it is read.
type level struct {
	indent  int
	title   string // of the header "# Subtest: x"
	version bool   // it has a version line of its own
	plan    int    // results planned since the last version line, -1 without a plan
	seen    int    // results since the last version line
	tests   []Test
	names   map[string]int
	missing string // the first part of the level whose plan was not kept
	skip    string
	diag    tail
}

func newLevel(indent int) *level {
	return &level{indent: indent, plan: -1, names: map[string]int{}}
}

// empty says that neither a plan nor a result came.
func (l *level) empty() bool { return l.plan < 0 && len(l.tests) == 0 && l.seen == 0 }

// planned takes a plan. Of two the greater counts: a later one must not excuse
// what an earlier one promised.
func (l *level) planned(n int, skip string) {
	l.plan = max(l.plan, n)
	if l.skip == "" {
		l.skip = skip
	}
}

func (l *level) said(line string) { l.diag.add(line + "\n") }

// settle compares the results with the plan, and makes ready for another
// version line.
func (l *level) settle() {
	if l.missing == "" {
		switch {
		case l.plan >= 0 && l.seen != l.plan:
			l.missing = fmt.Sprintf("%d of %d planned results", l.seen, l.plan)
		case l.plan < 0 && l.seen == 0 && l.version:
			l.missing = "neither a plan nor a result"
		}
	}
	l.plan, l.seen = -1, 0
}

// unique is name, or name#01 for the second of that name.
func (l *level) unique(name string) string {
	for {
		n := l.names[name]
		l.names[name]++
		if n == 0 {
			return name
		}
		name = fmt.Sprintf("%s#%02d", name, n)
	}
}

// A tail keeps the last MaxOutput bytes added to it.
type tail struct{ b []byte }

func (t *tail) add(s string) {
	t.b = append(t.b, s...)
	if over := len(t.b) - MaxOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
}

func (t *tail) String() string { return strings.ToValidUTF8(string(t.b), "?") }
