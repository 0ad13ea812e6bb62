package console

import "strings"

// maxDepth bounds the frames of a stack that are looked at: what started an
// endless recursion is at its far end.
const maxDepth = 2048

// A report is a complaint with its lines taken apart.
type report struct {
	rule   *rule
	match  []string
	body   body
	stacks []stack
	// pointers are the instruction pointers that lie in the kernel, in order;
	// one without a Func leads nowhere.
	pointers []Frame
	patterns *patterns
}

// A stack is a run of frames under one heading.
type stack struct {
	head   string
	line   int
	frames []Frame
	// guessed are frames the unwinder only found on the stack ("? f+0x1/0x2").
	// A kernel without an unwinder has no others.
	guessed []Frame
	trace   bool // under "Call Trace:" or the like
	pointed []pointed
	// unnamed are frames that are only an address.
	unnamed []pointed
}

// pointed is an instruction pointer or an address inside a stack, before
// frame next.
type pointed struct {
	frame Frame
	next  int
}

func newReport(p *patterns, rule *rule, match []string, b body) *report {
	r := &report{rule: rule, match: match, body: b, patterns: p}
	current := stack{line: b.rows[0].n}
	for i, row := range b.rows {
		if head, trace := heading(row.text); i > 0 && head {
			r.close(current)
			current = stack{head: row.text, line: row.n, trace: trace}
		}
		r.take(&current, row, i == 0)
	}
	r.close(current)
	return r
}

// take adds what a row holds to the stack it stands in.
func (r *report) take(s *stack, row row, opener bool) {
	if f, ok := r.patterns.instruction(row.text, row.n); ok && !opener {
		r.point(s, f)
		return
	}
	f, sure, ok := r.patterns.parse(row.text, row.n)
	if !ok && s.trace && len(s.unnamed) < maxDepth {
		if f, ok := r.patterns.address(row.text, row.n); ok {
			s.unnamed = append(s.unnamed, pointed{frame: f, next: len(s.frames)})
		}
	}
	if !ok || opener {
		return
	}
	if !sure && !strings.Contains(row.text, "<EOI>") {
		if len(s.guessed) < maxDepth {
			f.Guessed = true
			s.guessed = append(s.guessed, f)
		}
		return
	}
	if called := r.patterns.callee(row.text); called != "" && len(s.frames) == 0 {
		s.frames = append(s.frames, Frame{Func: called, Line: row.n})
	}
	if len(s.frames) < maxDepth {
		s.frames = append(s.frames, f)
	}
}

// point adds an instruction pointer. powerpc prints it twice, first without
// its function: "NIP:  c0000000000a1234 LR: …", "NIP [c0000000000a1234] f+0x1/0x2".
func (r *report) point(s *stack, f Frame) {
	if n := len(s.pointed); n > 0 && s.pointed[n-1].frame.nameless() && s.pointed[n-1].next == len(s.frames) && f.Func != "" {
		s.pointed[n-1].frame, r.pointers[len(r.pointers)-1] = f, f
		return
	}
	r.pointers = append(r.pointers, f)
	s.pointed = append(s.pointed, pointed{frame: f, next: len(s.frames)})
}

// nameless says that f leads nowhere.
func (f *Frame) nameless() bool { return f.Func == "" && f.Address == "" }

func (r *report) close(s stack) {
	if len(s.frames) == 0 {
		s.frames = s.guessed
	}
	if len(s.frames) > 0 || s.trace || len(s.pointed) > 0 {
		r.stacks = append(r.stacks, s)
	}
}

// heading says that a stack or another section starts, and whether it is a
// stack of what was running.
func heading(text string) (head, trace bool) {
	t := strings.TrimSpace(text)
	if i := strings.Index(t, "Call Trace:"); i >= 0 && i < 12 || strings.HasPrefix(t, "Call trace:") || strings.HasPrefix(t, "Backtrace:") || strings.HasPrefix(t, "backtrace") {
		return true, true
	}
	for _, section := range []string{
		"which became ", "... which became ", "to a HARDIRQ", "to a SOFTIRQ",
		"Allocated by task", "Freed by task", "Allocated:", "Freed:", "Uninit was", "Local variable", "Last potentially related",
		"Second to last potentially", "The buggy address", "freed by task", "stack backtrace:", "the shortest dependencies", "which lock already",
		"NMI backtrace for cpu", "Preemption disabled at:", "page last allocated via", "page last free", "the existing dependency chain", "-> #", "Last call_rcu", "Showing all locks",
	} {
		if strings.HasPrefix(t, section) {
			return true, false
		}
	}
	return strings.Contains(t, "] allocated by task"), false
}

// first is the stack the complaint was made in: the first under "Call Trace:",
// else the first that has frames.
func (r *report) first() stack {
	for _, s := range r.stacks {
		if s.trace && len(s.frames) > 0 {
			return s
		}
	}
	for _, s := range r.stacks {
		if len(s.frames) > 0 {
			return s
		}
	}
	return stack{}
}

// plain is the first stack that stands under the opener without a heading, as
// KMSAN and KFENCE print it, else first.
func (r *report) plain() stack {
	if len(r.stacks) > 0 && r.stacks[0].head == "" && len(r.stacks[0].frames) > 0 {
		return r.stacks[0]
	}
	return r.first()
}
