package console

import "strings"

// guilty picks the function the title names: of the candidates that the
// rule's place gives, the first that only did what it was told is passed over.
func (r *report) guilty() Frame {
	switch r.rule.place {
	case nowhere:
		return r.pick(append(r.pointedFrames(), r.first().frames...))
	case inStall:
		return r.stalled()
	case inHung:
		return r.hung()
	}
	return r.pick(r.candidates())
}

// candidates are the frames that may be guilty, the likeliest first.
func (r *report) candidates() []Frame {
	switch r.rule.place {
	case inHeader:
		frames := r.first().frames
		if r.rule.fault == FaultKFENCE {
			frames = r.plain().frames
		}
		if f, ok := r.header(); ok {
			frames = append([]Frame{f}, frames...)
		}
		return frames
	case inPointer:
		return r.fromPointer()
	case onlyPointer:
		return r.pointedFrames()
	case inLock:
		return append(r.locks(), r.first().frames...)
	case inBecame:
		return r.became()
	case inBare:
		return r.plain().frames
	case inOwner:
		return append(r.owner(), r.first().frames...)
	}
	return r.first().frames
}

// pick returns the first frame that is not passed over. A test of KUnit is not,
// though it may be called like what it tests.
func (r *report) pick(frames []Frame) Frame {
	for i, f := range frames {
		test := i+1 < len(frames) && frames[i+1].Func == runsKUnit
		if f.Func != "" && (test || !passive(f.Func) && !matches(f.Func, r.rule.skip)) {
			return f
		}
	}
	return Frame{}
}

// runsKUnit is the function that calls a test of KUnit.
const runsKUnit = "kunit_try_run_case"

// header is the function in the opener: "BUG: KASAN: use-after-free in f+0x1/0x2".
func (r *report) header() (Frame, bool) {
	row := r.body.rows[0]
	_, after, ok := strings.Cut(row.text, " in ")
	if !ok {
		return Frame{}, false
	}
	f, _, ok := r.patterns.parse(" "+strings.TrimSpace(after), row.n)
	return f, ok
}

func (r *report) pointedFrames() []Frame {
	if len(r.pointers) == 0 {
		return nil
	}
	return r.pointers[:1]
}

// fromPointer is the first instruction pointer and the frames after it.
func (r *report) fromPointer() []Frame {
	var frames []Frame
	for i, s := range r.stacks {
		if len(s.pointed) == 0 {
			continue
		}
		p := s.pointed[0]
		if !r.fetched() {
			frames = append(frames, p.frame)
		}
		frames = append(frames, s.frames[p.next:]...)
		if len(s.frames) == p.next {
			for _, later := range r.stacks[i+1:] {
				if later.trace && len(later.frames) > 0 {
					return append(frames, later.frames...)
				}
			}
		}
		return frames
	}
	return r.first().frames
}

// fetched says that the fault was in reading an instruction: the pointer shows
// where a bad call went, and its caller made it.
func (r *report) fetched() bool {
	for _, row := range r.body.rows[:min(len(r.body.rows), 6)] {
		if strings.Contains(row.text, "#PF: supervisor instruction fetch") {
			return true
		}
	}
	return false
}

// locks are the functions that take, drop or free the locks in question: the
// places "at: f+0x1/0x2" of the report's head.
func (r *report) locks() []Frame {
	var frames []Frame
	for i, row := range r.body.rows {
		_, place, ok := strings.Cut(row.text, "at: ")
		if i > 0 && strings.HasSuffix(r.body.rows[i-1].text, " at:") {
			place, ok = row.text, true
		}
		if head, _ := heading(row.text); head && i > 0 {
			break
		}
		if !ok {
			continue
		}
		if f, _, ok := r.patterns.parse(" "+strings.TrimSpace(place), row.n); ok {
			frames = append(frames, f)
		}
	}
	return frames
}

// owner is the stack in which a page was allocated: CONFIG_PAGE_OWNER.
func (r *report) owner() []Frame {
	for _, s := range r.stacks {
		if strings.HasPrefix(s.head, "page last allocated via") {
			return s.frames
		}
	}
	return nil
}

// became is the stack that made a lock unsafe to take with interrupts on.
func (r *report) became() []Frame {
	for _, s := range r.stacks {
		if strings.Contains(s.head, "which became ") {
			return s.frames
		}
	}
	return r.locks()
}

// matches says that name matches one of the parts: "^" anchors a part at the
// start, "$" at the end.
func matches(name string, parts []string) bool {
	for _, p := range parts {
		start, end := strings.HasPrefix(p, "^"), strings.HasSuffix(p, "$")
		word := strings.TrimSuffix(strings.TrimPrefix(p, "^"), "$")
		switch {
		case start && end && name == word,
			start && !end && strings.HasPrefix(name, word),
			end && !start && strings.HasSuffix(name, word),
			!start && !end && strings.Contains(name, word):
			return true
		}
	}
	return false
}
