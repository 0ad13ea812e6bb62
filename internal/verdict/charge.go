package verdict

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/runvm/runvm/internal/console"
)

// PID 1 writes these to the kernel log when a program and a test start.
const (
	programMark = "runvm: test "
	testMark    = "runvm: === RUN"
	taintMark   = "runvm: === TAINT " // and the kernel's taint, when it has changed
)

// A mark is the start of a program, or of a test in it, on the console.
type mark struct {
	line          int
	program, test string
}

// A stain is a change of the kernel's taint, on the console.
type stain struct {
	line  int
	taint int64
}

// marks finds the marks of the planned programs in log, and the stains.
func marks(log []byte, planned map[string]*trace) (all []mark, stains []stain) {
	program := ""
	for line := 1; len(log) > 0; line++ {
		var raw []byte
		raw, log, _ = bytes.Cut(log, []byte("\n"))
		if !bytes.Contains(raw, []byte("runvm: ")) {
			continue
		}
		text := string(console.Message(raw))
		if id, ok := strings.CutPrefix(text, programMark); ok && planned[strings.TrimSpace(id)] != nil {
			program = strings.TrimSpace(id)
			all = append(all, mark{line: line, program: program})
		}
		if name, ok := strings.CutPrefix(text, testMark); ok && program != "" {
			all = append(all, mark{line: line, program: program, test: strings.TrimSpace(name)})
		}
		if bits, ok := strings.CutPrefix(text, taintMark); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(bits), 10, 64); err == nil && n >= 0 {
				stains = append(stains, stain{line: line, taint: n})
			}
		}
	}
	return all, stains
}

// announced starts the tests whose start the console tells of and the records
// do not: PID 1 marks the kernel log before it sends a record, and a guest that
// stops at once sends no more.
func (j *judge) announced() {
	for _, p := range j.in.Plan {
		t := j.traces[p.ID]
		if !t.open() {
			continue
		}
		marked := map[string]int{}
		for _, m := range j.marks {
			if m.program == p.ID {
				marked[m.test]++
			}
		}
		for _, name := range p.Tests {
			if o := t.tally.outcome(name); o != nil && marked[name] > o.starts {
				o.start()
			}
		}
	}
}

// charge adds each crash of the console to the test that was running.
func (j *judge) charge() {
	all := j.marks
	j.stained(all, j.stains)
	for i, c := range j.crashes {
		if j.retold(i) {
			continue
		}
		m := j.running(all, c.Lines[0])
		if own, ok := j.kernel.running(c.Lines[0]); ok && (len(all) == 0 || c.Lines[0] < all[0].line) {
			m = own
		}
		j.complain(Complaint{Crash: c, Program: m.program, Test: m.test})
	}
}

// stained charges a taint that no complaint on the console explains to the
// test that was running.
func (j *judge) stained(all []mark, stains []stain) {
	last := 0
	for _, s := range stains {
		if j.explained(last, s.line) {
			j.clean |= s.taint
		} else {
			j.taintedBy(s.taint, j.running(all, s.line))
		}
		last = s.line
	}
}

// explained says that the kernel complained between two lines of the console.
func (j *judge) explained(after, until int) bool {
	for _, c := range j.crashes {
		if c.Lines[0] <= until && c.Lines[1] > after {
			return true
		}
	}
	return false
}

// retold tells whether crash i, a leak without a stack, is told in full later:
// kmemleak counts leaks before PID 1 asks it where they are.
func (j *judge) retold(i int) bool {
	if c := &j.crashes[i]; c.Fault != console.FaultLeak || len(c.Frames) > 0 {
		return false
	}
	for _, c := range j.crashes[i+1:] {
		if c.Fault == console.FaultLeak && len(c.Frames) > 0 {
			return true
		}
	}
	return false
}

// running is the mark in force at a line of the console. Where the guest
// could not write marks it is the test that never ended.
func (j *judge) running(all []mark, line int) mark {
	if len(all) == 0 {
		return j.unended()
	}
	found := mark{}
	for _, m := range all {
		if m.line > line {
			break
		}
		found = m
	}
	return found
}

// unended is the program, and the test in it, that were open at the end.
func (j *judge) unended() mark {
	for _, p := range j.in.Plan {
		t := j.traces[p.ID]
		if !t.open() {
			continue
		}
		m := mark{program: p.ID}
		for _, o := range t.tally.order {
			if o.open {
				m.test = o.Name
			}
		}
		return m
	}
	return mark{}
}

// complain records a crash and, unless it is allowed, makes the program and
// test crash with it.
func (j *judge) complain(c Complaint) {
	r := j.report
	c.Allowed = j.allowed(c.Title)
	r.Crashes = append(r.Crashes, c)
	if c.Allowed != nil {
		return
	}
	for i := range r.Programs {
		if p := &r.Programs[i]; p.ID == c.Program {
			p.crash(c)
			return
		}
	}
	j.worsen(Crash, c.Title)
}

func (p *Program) crash(c Complaint) {
	p.worsen(Crash, join(c.Test, c.Title))
	for i := range p.Tests {
		t := &p.Tests[i]
		if t.Name != c.Test && !strings.HasPrefix(c.Test, t.Name+"/") {
			continue
		}
		if rank(t.Verdict) < rank(Crash) {
			t.Verdict, t.Reason, t.Reached = Crash, c.Title, true
		}
	}
}
