package console

import "strings"

// shown are the frames of the stack the complaint was made in, and the
// report's other stacks.
func (r *report) shown() (frames []Frame, others []Stack) {
	main := r.main()
	for i, s := range r.stacks {
		switch whole := s.whole(); {
		case i == main:
			frames = append(frames, whole...)
		case i < main && len(s.frames) == 0 && len(whole) > 0:
			// the registers above a stack tell where it starts
			frames = whole[:1]
		case len(s.frames) > 0 && len(others) < MaxStacks:
			others = append(others, Stack{Title: sectionTitle(s.head), Frames: atMost(whole)})
		}
	}
	return atMost(frames), others
}

func atMost(frames []Frame) []Frame {
	n := min(len(frames), MaxFrames)
	return frames[:n:n]
}

// sectionTitle is a heading, cleaned and bounded.
func sectionTitle(head string) string {
	head = strings.TrimSpace(head)
	return strings.ToValidUTF8(head[:min(len(head), maxTitle)], "?")
}

// main is the index of the stack that plain returns; of a kernel without
// names for its functions it is the first stack of addresses, and where there
// is none either, the last.
func (r *report) main() int {
	if s := r.plain(); len(s.frames) > 0 {
		for i := range r.stacks {
			if r.stacks[i].line == s.line {
				return i
			}
		}
	}
	for i, s := range r.stacks {
		if len(s.unnamed) > 0 {
			return i
		}
	}
	return len(r.stacks) - 1
}

// whole are the frames of s with the instruction pointers and addresses that
// stand between them. A pointer after the last frame is one repeated.
func (s *stack) whole() []Frame {
	var all []Frame
	add := func(f Frame) {
		if len(all) > 0 && entry(all[len(all)-1].Func) {
			f.Exact = true
		}
		all = append(all, f)
	}
	for i := 0; i <= len(s.frames); i++ {
		for _, p := range s.pointed {
			if p.next == i && (i < len(s.frames) || i == 0) && (p.frame.Func != "" || p.frame.Address != "") {
				add(p.frame)
			}
		}
		for _, p := range s.unnamed {
			if p.next == i {
				add(p.frame)
			}
		}
		if i < len(s.frames) {
			add(s.frames[i])
		}
	}
	return all
}

// entry says that name is where the CPU enters the kernel for an exception or
// an interrupt: the next frame was interrupted and did not call.
func entry(name string) bool {
	return strings.HasPrefix(name, "asm_exc_") || strings.HasPrefix(name, "asm_sysvec_") || name == "asm_common_interrupt"
}
