// Package verdict turns what a run left behind (the plan, the guest's records,
// the test events, the console and the way the VM ended) into a Report.
//
// Judge is a pure function: the same bytes give the same Report, so old runs
// can be judged again and the rules are tested without a VM. A fault of the
// kernel is a verdict in the Report; a fault of the host (no QEMU, no disk
// space) is an error of the stage that met it and never comes here.
package verdict

// A Verdict is what can be said of a run, a program or a test.
type Verdict string

// The verdicts, worst first; of several the worst wins.
const (
	Broken     Verdict = "broken"     // nothing can be said: the guest could not do its part
	Crash      Verdict = "crash"      // the kernel complained, even if every test said ok
	Hang       Verdict = "hang"       // nothing moved, or too slowly, until a clock ran out
	Incomplete Verdict = "incomplete" // fewer results than planned
	Fail       Verdict = "fail"       // a test said so
	Skipped    Verdict = "skipped"    // nothing ran: every test skipped itself
	Pass       Verdict = "pass"
)

// rank orders the verdicts; an unknown one is as bad as Broken.
func rank(v Verdict) int {
	switch v {
	case Pass:
		return 0
	case Skipped:
		return 1
	case Fail:
		return 2
	case Incomplete:
		return 3
	case Hang:
		return 4
	case Crash:
		return 5
	}
	return 6
}

// Worse returns the worse of a and b.
func Worse(a, b Verdict) Verdict {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// Exit codes of a judged run. 2, wrong usage, is the command line's own.
const (
	ExitPass      = 0
	ExitWrong     = 1   // the kernel or a test is wrong
	ExitNoVerdict = 125 // git bisect run reads it as "skip"
)

// ExitCode is the code runvm ends with. A kernel that never reached its first
// program has not been tested, whatever it died of, unless it died in a test of
// its own: that is ExitNoVerdict, as is a run in which every test skipped
// itself.
func (r *Report) ExitCode() int {
	switch {
	case r.Verdict == Pass:
		return ExitPass
	case !r.Booted && !r.ownFailed(), r.Verdict == Broken, r.Verdict == Skipped:
		return ExitNoVerdict
	}
	return ExitWrong
}

// ownFailed says that a test of the kernel's own went wrong.
func (r *Report) ownFailed() bool {
	p := r.kernelLog()
	return p != nil && p.Reached && rank(p.Verdict) > rank(Skipped)
}

// kernelLog is the program of the kernel's own tests; nil when there is none.
func (r *Report) kernelLog() *Program {
	for i := range r.Programs {
		if r.Programs[i].ID == KernelLog {
			return &r.Programs[i]
		}
	}
	return nil
}
