package verdict

import (
	"fmt"
	"path"
	"strings"

	"github.com/runvm/runvm/internal/console"
)

// Bits of /proc/sys/kernel/tainted that only a fault of the kernel sets.
const (
	taintBadPage    = 1 << 5
	taintDied       = 1 << 7
	taintWarned     = 1 << 9
	taintSoftLockup = 1 << 14
)

func taintWords(bits int64) string {
	var words []string
	for _, t := range []struct {
		bit  int64
		word string
	}{
		{taintBadPage, "B: bad page"}, {taintDied, "D: died"},
		{taintWarned, "W: warned"}, {taintSoftLockup, "L: soft lockup"},
	} {
		if bits&t.bit != 0 {
			words = append(words, t.word)
		}
	}
	return strings.Join(words, ", ")
}

// taint makes the program crash after which the kernel was tainted by a fault
// that the console does not tell of. A complaint that is charged to the
// program, or to none, explains any.
func (j *judge) taint() {
	explained := map[string]bool{}
	for _, c := range j.report.Crashes {
		explained[c.Program] = true
	}
	for _, p := range j.in.Plan {
		if explained[p.ID] || explained[""] {
			j.clean |= j.traces[p.ID].taint()
			continue
		}
		j.taintedBy(j.traces[p.ID].taint(), mark{program: p.ID})
	}
}

// taintedBy charges the bits of taint that were not set before to m.
func (j *judge) taintedBy(taint int64, m mark) {
	if words := taintWords(taint &^ j.clean); words != "" {
		j.complain(unseen(console.FaultTaint, "kernel tainted ("+words+") without a message on the console", m))
	}
	j.clean |= taint
}

// unseen is a crash that the console does not show.
func unseen(fault console.Fault, title string, m mark) Complaint {
	return Complaint{
		Crash:   console.Crash{Kind: console.Fatal, Fault: fault, Title: title},
		Program: m.program, Test: m.test,
	}
}

// ending takes the way the VM ended into account.
func (j *judge) ending() {
	if !j.report.Booted {
		j.unbooted()
		return
	}
	note := j.note()
	switch j.in.End {
	case EndSilence, EndDeadline:
		j.hang(note)
	case EndReset, EndPanicked:
		j.died()
	case EndKilled:
		j.cut("runvm was stopped" + note)
	case EndQEMUExit:
		j.cut("QEMU ended by itself" + note)
	default:
		if !j.done {
			j.poweredOff()
		}
	}
}

// poweredOff names what ran when the guest switched itself off.
func (j *judge) poweredOff() {
	m := j.unended()
	what := "the guest powered off before its plan was done"
	for i := range j.report.Programs {
		if p := &j.report.Programs[i]; p.ID == m.program {
			what = join(join(path.Base(m.program), m.test), what)
			for i := range p.Tests {
				if t := &p.Tests[i]; t.Open && t.Verdict == Incomplete {
					t.Reason = "the guest powered off while it ran"
				}
			}
		}
	}
	j.worsen(Incomplete, what)
}

func (j *judge) note() string {
	if j.in.EndNote == "" {
		return ""
	}
	return ": " + clip(j.in.EndNote, maxReason)
}

// hang charges a clock that ran out to what was running.
func (j *judge) hang(note string) {
	what := "the whole run took too long"
	if j.in.End == EndSilence {
		what = "the guest went silent"
	}
	what += note
	m := j.unended()
	if why := j.stuck(m.program); why != "" {
		what = why + ": " + what
	}
	for i := range j.report.Programs {
		if p := &j.report.Programs[i]; p.ID == m.program {
			p.hangOpen(what)
			p.worsen(Hang, join(m.test, what))
			return
		}
	}
	if j.done {
		what += "; every program had ended, but the guest did not power off"
	}
	j.worsen(Hang, what)
}

// stuck is what the guest said it was stuck in while program ran.
func (j *judge) stuck(program string) string {
	if j.report.Stuck == nil {
		return ""
	}
	name := path.Base(program)
	for _, p := range j.in.Plan {
		if p.ID == program && p.Go {
			name += ".test"
		}
	}
	return clip(j.report.Stuck.Why(name), maxReason)
}

// died makes a reset or a panic a crash that the console did not tell of.
func (j *judge) died() {
	switch counted, allowed := j.counted(); {
	case counted != nil:
		return
	case allowed != nil:
		j.worsen(Incomplete, "the guest died of an allowed complaint: "+allowed.Title)
		return
	}
	if j.in.End == EndPanicked {
		j.complain(unseen(console.FaultPanic, "kernel panic without a message on the console", j.unended()))
		return
	}
	j.complain(unseen(console.FaultReset, "unexpected reset: the guest rebooted or its CPU gave up (triple fault)", j.unended()))
}

// counted returns the first complaint that counts and the first that is allowed.
func (j *judge) counted() (counted, allowed *Complaint) {
	for i := range j.report.Crashes {
		switch c := &j.report.Crashes[i]; {
		case c.Allowed == nil && counted == nil:
			counted = c
		case c.Allowed != nil && allowed == nil:
			allowed = c
		}
	}
	return counted, allowed
}

// cut is a VM that ended from outside: no verdict, unless a crash came first.
func (j *judge) cut(reason string) {
	if counted, _ := j.counted(); counted == nil && !j.done {
		j.worsen(Broken, reason)
	}
}

// tailLines is how much of the console a report of a failed boot shows.
const tailLines = 20

// unbooted says what became of a guest whose PID 1 never spoke.
func (j *judge) unbooted() {
	j.report.Tail = tail(j.in.Console, tailLines)
	note := j.note()
	silent := len(strings.TrimSpace(j.report.Tail)) == 0
	own := j.report.kernelLog()
	switch {
	case j.in.End == EndKilled:
		j.worsen(Broken, "runvm was stopped before the guest's init started"+note)
	case j.in.End == EndQEMUExit:
		j.worsen(Broken, "QEMU ended before the guest's init started"+note)
	case silent:
		j.worsen(Broken, fmt.Sprintf("the guest printed nothing (%s): expected the kernel's first lines on its serial console; is the image a kernel for this machine, with CONFIG_SERIAL_8250_CONSOLE=y and CONFIG_PVH=y?%s", j.report.End, note))
	case own != nil && own.Verdict == Crash:
		// its sentence is better
	case len(j.crashes) > 0:
		j.own, j.why = Crash, "the kernel died before it started init: "+j.crashes[0].Title
	case j.in.End == EndSilence, j.in.End == EndDeadline:
		what := "the kernel hung before it started init"
		if why := j.stuck("init"); why != "" {
			what += ": " + why
		}
		if j.kernel.open != "" {
			own.hangOpen(what + note)
			own.worsen(Hang, join(j.kernel.open, what+note))
		}
		j.worsen(Hang, what+note)
	default:
		j.worsen(Broken, fmt.Sprintf("the guest ended (%s) before its init started%s", j.report.End, note))
	}
}

// tail returns the last n lines of log, at most MaxOutput bytes.
func tail(log []byte, n int) string {
	text := strings.ToValidUTF8(string(log[max(0, len(log)-MaxOutput):]), "?")
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
