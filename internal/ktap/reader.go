package ktap

import (
	"bytes"
	"fmt"
	"strings"
)

// A Reader takes the output of a program. What it returns is a pure function
// of the bytes written; how they were cut into writes makes no difference.
type Reader struct {
	// Restarts says that results which begin with 1 again, once as many came as
	// were planned, are more of the document: so KUnit tells of a suite that is
	// run again.
	Restarts bool

	line   []byte
	number int // of line, from 1
	state  state
	levels []*level // open ones; the first is the document's
	doc    Document
	count  int // tests so far
	kept   int // bytes of all Outputs so far
}

type state int

const (
	undecided state = iota // no line yet that is not blank
	reading
	foreign // the first line was no version line: not the protocol
)

// Write takes the next bytes. It never fails.
func (r *Reader) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && r.state != foreign {
		part, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		r.line = append(r.line, part[:min(len(part), MaxLine-len(r.line))]...)
		if ended {
			r.flush()
		}
	}
	return n, nil
}

// Aside takes what the program wrote elsewhere meanwhile, as kselftests write
// what they expected to standard error. It is never read as a result, but is
// part of the Output of the next one.
func (r *Reader) Aside(p []byte) {
	if r.state == reading {
		r.levels[len(r.levels)-1].diag.add(string(p[max(0, len(p)-MaxOutput):]))
	}
}

// Close returns what was read; nil when the first line that is not blank was
// no version line.
func (r *Reader) Close() *Document {
	r.flush()
	if r.state != reading {
		return nil
	}
	r.orphan(0)
	root := r.levels[0]
	root.settle()
	r.doc.Tests, r.doc.Missing, r.doc.Skipped = root.tests, root.missing, root.skip
	return &r.doc
}

func (r *Reader) flush() {
	r.number++
	line := strings.TrimRight(string(r.line), "\r\n")
	r.line = r.line[:0]
	indent, text := indented(line)
	switch {
	case r.state == foreign || text == "":
	case r.state == reading:
		if r.take(indent, text, line) {
			r.doc.Line = r.number
		}
	case IsVersion(text):
		r.state, r.levels, r.doc.Line = reading, []*level{newLevel(indent)}, r.number
		r.levels[0].version = true
	default:
		r.state = foreign
	}
}

// take handles a line of a document and says whether it is part of the
// protocol.
func (r *Reader) take(indent int, text, line string) bool {
	at := r.at(indent)
	if title, ok := strings.CutPrefix(text, subtestMark); ok {
		r.subtest(indent).title = slashless(clean(title, MaxName))
		return true
	}
	if bail, ok := strings.CutPrefix(text, "Bail out!"); ok && r.doc.Bail == "" {
		r.doc.Bail = clean(bail, MaxWhy)
		if r.doc.Bail == "" {
			r.doc.Bail = "no reason given"
		}
		return true
	}
	if IsVersion(text) {
		r.begin(indent)
		return true
	}
	if at >= 0 {
		if n, skip, ok := plan(text); ok {
			r.levels[at].planned(n, skip)
			return true
		}
		if t, n, ok := result(text); ok {
			if root := r.levels[0]; r.Restarts && at == 0 && n == 1 && root.seen == root.plan {
				root.settle()
			}
			r.add(at, t)
			return true
		}
	}
	top := r.levels[len(r.levels)-1]
	if top.seen < top.plan && !strings.HasPrefix(text, "#") && text == strings.TrimLeft(line, " \t") {
		if before, t, ok := behind(text, top.seen+1); ok {
			top.said(before)
			r.add(len(r.levels)-1, t)
			return true
		}
	}
	top.said(line)
	return false
}

// at is the index of the open level with this indentation, -1 without one.
func (r *Reader) at(indent int) int {
	for i, l := range r.levels {
		if l.indent == indent {
			return i
		}
	}
	return -1
}

// begin handles a version line.
func (r *Reader) begin(indent int) {
	root := r.levels[0]
	if indent <= root.indent {
		r.orphan(0)
		if !root.empty() {
			root.settle()
		}
		root.indent = indent
		return
	}
	r.subtest(indent).version = true
}

// subtest is the level of the subtests that a header at indent announces: one
// that is open there and still empty, or a new one.
func (r *Reader) subtest(indent int) *level {
	if i := r.at(indent); i >= 0 && (i == 0 || r.levels[i].empty()) {
		return r.levels[i]
	}
	below := 0
	for i, l := range r.levels {
		if l.indent < indent {
			below = i
		}
	}
	r.orphan(below)
	if len(r.levels) < MaxDepth {
		r.levels = append(r.levels, newLevel(indent))
	}
	return r.levels[len(r.levels)-1]
}

// orphan closes the levels above the one at index to. Their parents' results
// never came.
func (r *Reader) orphan(to int) {
	for len(r.levels)-1 > to {
		top := r.pop()
		if top.missing == "" && len(top.tests) == 0 {
			continue
		}
		name := top.title
		if name == "" {
			name = fmt.Sprintf("subtest %d", r.levels[len(r.levels)-1].seen+1)
		}
		r.keep(r.levels[len(r.levels)-1], Test{Name: name, Status: Incomplete, Why: NeverEnded, Tests: top.tests})
	}
}

func (r *Reader) pop() *level {
	top := r.levels[len(r.levels)-1]
	r.levels = r.levels[:len(r.levels)-1]
	top.settle()
	return top
}

// add takes a result at the level with index at. The levels above it hold its
// subtests.
func (r *Reader) add(at int, t Test) {
	l := r.levels[at]
	t.Line = r.number
	if len(r.levels)-1 > at {
		r.orphan(at + 1)
		sub := r.pop()
		t.Tests = sub.tests
		l.diag.add(sub.diag.String())
		switch {
		case sub.missing != "" && t.Status == Pass:
			t.Status, t.Why = Incomplete, sub.missing
		case t.Why == "" && t.Status == Skip:
			t.Why = sub.skip
		}
	}
	r.keep(l, t)
	l.seen++
}

// keep puts t into l, with what was said since the last result there.
func (r *Reader) keep(l *level, t Test) {
	if t.Status != Pass && r.kept < maxKept {
		t.Output = l.diag.String()
		r.kept += len(t.Output)
	}
	l.diag = tail{}
	if r.count++; r.count > MaxTests {
		r.doc.Cut = true
		return
	}
	t.Name = l.unique(slashless(t.Name))
	l.tests = append(l.tests, t)
}
