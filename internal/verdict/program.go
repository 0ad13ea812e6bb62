package verdict

import (
	"fmt"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/ktap"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/wire"
)

// A trace is what the records say of one program.
type trace struct {
	start, exit *wire.Record
	err         string  // PID 1's complaint
	last        int64   // guest time of the last record
	out         sh.Tail // of a program whose output has no events
	tally       *tally  // of a Go test binary
	decoder     *gotest.Decoder
	tap         ktap.Reader // of standard output of another program
}

// traces sorts the records by program. Records of programs that were not
// planned are dropped: the guest is not trusted to invent results.
func traces(plan []Planned, records []wire.Record) map[string]*trace {
	all := make(map[string]*trace, len(plan))
	for _, p := range plan {
		t := &trace{out: sh.Tail{Max: MaxOutput}, tally: newTally()}
		if p.Go {
			t.decoder = gotest.NewDecoder(p.ID, t.tally.add)
		}
		all[p.ID] = t
	}
	for i := range records {
		if t := all[records[i].ID]; t != nil {
			t.add(&records[i])
		}
	}
	return all
}

func (t *trace) add(r *wire.Record) {
	t.last = max(t.last, r.Time)
	switch r.Type {
	case wire.Start:
		t.start = r
	case wire.Out:
		t.write(r)
	case wire.Error:
		t.err = r.Text
	case wire.Exit:
		t.exit = r
		if t.decoder != nil {
			t.decoder.Close(r.Code == 0 && r.Signal == 0, t.elapsed().Seconds())
		}
	}
}

func (t *trace) write(r *wire.Record) {
	if t.decoder != nil {
		_, _ = t.decoder.Write(r.Bytes())
		return
	}
	_, _ = t.out.Write(r.Bytes())
	if r.Stream == 2 {
		t.tap.Aside(r.Bytes())
	} else {
		_, _ = t.tap.Write(r.Bytes())
	}
}

func (t *trace) elapsed() time.Duration {
	if t.start == nil {
		return 0
	}
	return max(0, time.Duration(t.last-t.start.Time))
}

// open says that the program was started and has not ended.
func (t *trace) open() bool { return t.start != nil && t.exit == nil }

// taint is the kernel's after the program, 0 where it is not known.
func (t *trace) taint() int64 {
	if t.exit == nil {
		return 0
	}
	return max(0, t.exit.Taint)
}

func (t *trace) ok() bool { return t.exit != nil && t.exit.Code == 0 && t.exit.Signal == 0 }

// program judges one planned program by what it left, without the console.
func (t *trace) program(plan Planned) Program {
	p := Program{ID: plan.ID, Arg: plan.Arg, Verdict: Pass, Reached: t.start != nil, Elapsed: t.elapsed()}
	if plan.Go {
		p.Protocol = ByGo
		p.Tests = t.tally.results(plan, t.exit != nil, t.ok())
		p.worsen(ofTests(p.Tests))
	}
	doc := t.document()
	if doc != nil {
		t.tally.flooded = doc.Cut
		p.tap(doc, t.exit)
	}
	switch {
	case t.err != "":
		p.worsen(Broken, clip(t.err, maxReason))
	case t.start == nil:
		p.worsen(Incomplete, "not reached")
	case t.exit == nil:
		p.worsen(Incomplete, "started and never ended")
	default:
		p.exited(t.exit, doc != nil)
	}
	if p.Verdict != Pass {
		p.Output = t.output()
	}
	return p
}

// document is what a program told of its tests in the protocol of kselftests;
// nil when it is a Go test or does not speak it.
func (t *trace) document() *ktap.Document {
	if t.decoder != nil {
		return nil
	}
	return t.tap.Close()
}

func (t *trace) output() string {
	if t.decoder != nil {
		return t.tally.outside.String()
	}
	return t.out.String()
}

// exited takes the way the program ended into account; tap says that it speaks
// the protocol of kselftests.
func (p *Program) exited(r *wire.Record, tap bool) {
	p.Exit = &Exit{Code: r.Code, Signal: r.Signal, TimedOut: r.TimedOut, Left: r.Left, Taint: r.Taint}
	if r.TimedOut {
		p.worsen(Hang, fmt.Sprintf("did not end within its time, %v", p.Elapsed.Round(time.Millisecond)))
		p.hangOpen("was running when time ran out")
	}
	if r.Left > 0 {
		p.worsen(Hang, plural(r.Left, "process")+" survived SIGKILL (state D)")
	}
	switch {
	case r.TimedOut:
	case r.Signal != 0:
		p.worsen(Fail, fmt.Sprintf("killed by signal %d (%v)", r.Signal, syscall.Signal(r.Signal)))
	case r.Code == exitSkip && tap:
		p.worsen(Skipped, "exit code 4: skipped")
	case r.Code != 0:
		p.worsen(Fail, fmt.Sprintf("exit code %d", r.Code))
	}
	if r.Taint < 0 {
		p.worsen(Incomplete, "the kernel's taint could not be read after it")
	}
}

// hangOpen makes the tests hang that were running when the program stopped.
func (p *Program) hangOpen(reason string) {
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Open && t.Verdict == Incomplete {
			t.Verdict, t.Reason = Hang, reason
		}
	}
}

// worsen lowers the verdict to v, if that is worse, and says why.
func (p *Program) worsen(v Verdict, reason string) {
	if rank(v) > rank(p.Verdict) {
		p.Verdict, p.Reason = v, reason
	}
}

// ofTests is the verdict over tests: the worst, but Skipped only when none
// has passed.
func ofTests(tests []Test) (Verdict, string) {
	worst, passed := Test{Verdict: Skipped}, false
	for _, t := range tests {
		passed = passed || t.Verdict == Pass
		if rank(t.Verdict) > rank(worst.Verdict) {
			worst = t
		}
	}
	switch {
	case worst.Verdict != Skipped:
		return worst.Verdict, join(worst.Name, worst.Reason)
	case passed:
		return Pass, ""
	case len(tests) == 0:
		return Skipped, "no test ran"
	}
	return Skipped, "every test skipped itself"
}

func join(name, reason string) string {
	if name == "" {
		return reason
	}
	if reason == "" {
		return name
	}
	return name + ": " + reason
}

// plural is "1 result", "2 results", "2 processes".
func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun[len(noun)-1] == 's':
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
