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
		if f, ok := r.header(); ok {
			return append([]Frame{f}, r.plain().frames...)
		}
		return r.plain().frames
	case inPointer:
		return r.fromPointer()
	case onlyPointer:
		return r.pointedFrames()
	case inWarning:
		if frames := r.fromPointer(); len(frames) > 0 {
			return frames
		}
		return r.first().frames
	case inLock:
		if f, ok := r.lock(); ok {
			return []Frame{f}
		}
		return nil
	}
	return r.plain().frames
}

// pick returns the first frame that is not passed over.
func (r *report) pick(frames []Frame) Frame {
	for _, f := range frames {
		if f.Func != "" && !passive(f.Func) && !matches(f.Func, r.rule.skip) {
			return f
		}
	}
	return Frame{}
}

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
		frames = append(frames, p.frame)
		frames = append(frames, s.frames[p.next:]...)
		if len(frames) == 1 {
			for _, later := range r.stacks[i+1:] {
				if later.trace {
					return append(frames, later.frames...)
				}
			}
		}
		return frames
	}
	return r.first().frames
}

// lock is the function that takes, drops or frees the lock in question: the
// first "at: f+0x1/0x2" after the line that tells who does.
func (r *report) lock() (Frame, bool) {
	rows := r.body.rows
	for i, row := range rows {
		if i > 40 {
			break
		}
		_, place, ok := strings.Cut(row.text, "at: ")
		if !ok && i > 0 && (strings.HasPrefix(strings.TrimSpace(row.text), "[<") && strings.Contains(rows[i-1].text, "lock (")) {
			place, ok = row.text, true
		}
		if !ok {
			continue
		}
		if f, _, ok := r.patterns.parse(" "+strings.TrimSpace(place), row.n); ok {
			return f, true
		}
	}
	return Frame{}, false
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
