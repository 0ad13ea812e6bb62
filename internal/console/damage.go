package console

import "strings"

// damage says what is wrong with a report, "" when nothing is. lost: the
// title should name a function and none was found.
func (r *report) damage(lost bool) string {
	switch {
	case r.rule.aftermath && r.rule.fault == FaultPanic && !strings.Contains(r.body.rows[0].text, "kill init"):
		return "the panic's cause is not in the log"
	case lost:
		return "no function to blame is left in the report"
	case cutAt.MatchString(r.body.rows[0].text):
		return "another message stands inside the first line"
	case r.rule.stackless:
		return ""
	case !r.traced():
		return "the report has no stack"
	}
	return r.emptyStack()
}

// traced says that the report holds at least one frame.
func (r *report) traced() bool {
	for _, s := range r.stacks {
		if len(s.frames) > 0 {
			return true
		}
	}
	return false
}

// emptyStack says that a stack's heading has no frames under it.
func (r *report) emptyStack() string {
	for _, s := range r.stacks {
		if s.trace && len(s.frames) == 0 && len(s.pointed) == 0 {
			return "a stack was lost"
		}
		for _, f := range s.frames {
			if strings.HasPrefix(f.Func, "should_fail") && s.trace {
				return "fault injection's stack stands inside the report"
			}
		}
	}
	return ""
}
