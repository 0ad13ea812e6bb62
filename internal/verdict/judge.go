package verdict

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/wire"
)

// In is what a run left behind.
type In struct {
	// Plan is what was to be run. An empty plan is Broken, never a pass, but for
	// one with KUnit.
	Plan []Planned
	// Records are the guest's, in the order they came.
	Records []wire.Record
	// BadRecords counts lines of the results channel that did not parse.
	BadRecords int
	// Console is the console log, whole.
	Console []byte
	End     End
	// EndNote says more of the end: "nothing for 30s", the last line of QEMU.
	EndNote string
	// Asked is where in Console the kernel's answers begin, in bytes, when it
	// was asked what it was doing because a clock had run out; 0 when not.
	Asked int64
	// Cut says that Console or Records are not whole: there was too much.
	Cut bool
	// KUnit are the tests of the kernel's own that were asked for, as its filter
	// has it; "" is whatever it runs.
	KUnit string
	// Allow are complaints that are known and do not count, as of Run.Started.
	Allow []Allowed
	Run   Run
}

// Planned is one program of the plan.
type Planned struct {
	ID string // as in wire.Test
	// Arg is what a user types for it: "./vmtests/smoke".
	Arg string
	// Go says that it is a Go test binary, whose events count; another program
	// is judged by its exit code.
	Go bool
	// Tests are the top-level tests that must report a result.
	Tests []string
	// Skipped are other top-level tests of it that other guests run: it was told
	// to skip them, or died before they had their turn.
	Skipped []string `json:",omitempty"`
	// Count is how often each of them must, 0 means once.
	Count int
}

// Judge derives the Report of a run. It reads nothing but in.
func Judge(in In) *Report {
	var answer []byte
	if in.Asked > 0 && in.Asked <= int64(len(in.Console)) {
		// What it was made to say is no complaint.
		in.Console, answer = in.Console[:in.Asked], in.Console[in.Asked:]
	}
	j := &judge{
		in:      in,
		traces:  traces(in.Plan, in.Records),
		crashes: console.Find(in.Console),
		report:  &Report{Schema: Schema, End: in.End, Run: in.Run},
	}
	var err error
	j.report.Stuck = console.Explain(answer)
	if j.report.Allow, j.titles, err = allowlist(in.Allow, in.Run.Started); err != nil {
		j.worsen(Broken, err.Error())
	}
	if j.report.End == "" {
		j.report.End = EndNone
	}
	j.stream()
	j.marks, j.stains = marks(j.in.Console, j.traces)
	j.announced()
	for _, p := range in.Plan {
		j.report.Programs = append(j.report.Programs, j.traces[p.ID].program(p))
	}
	j.kernelLog()
	j.charge()
	j.taint()
	j.ending()
	j.outOfMemory()
	j.sum()
	return j.report
}

// A judge is one judgement under way.
type judge struct {
	in      In
	traces  map[string]*trace
	crashes []console.Crash
	done    bool // the guest went through its whole plan
	marks   []mark
	stains  []stain
	kernel  kernelTests
	clean   int64            // the taint before the first program
	titles  []*regexp.Regexp // of report.Allow
	own     Verdict          // of the run itself, apart from its programs; "" is Pass
	why     string
	report  *Report
}

// worsen lowers the verdict of the run itself.
func (j *judge) worsen(v Verdict, reason string) {
	if j.own == "" || rank(v) > rank(j.own) {
		j.own, j.why = v, reason
	}
}

// stream reads the records that belong to no program.
func (j *judge) stream() {
	for i := range j.in.Records {
		switch r := &j.in.Records[i]; {
		case r.Type == wire.Hello:
			j.hello(r)
		case r.Type == wire.Done:
			j.done = true
		case r.Type == wire.Error && j.traces[r.ID] == nil:
			j.worsen(Broken, "the guest's init: "+clip(r.Text, maxReason))
		}
	}
	if n := j.in.BadRecords; n > 0 {
		j.worsen(Incomplete, plural(n, "damaged record")+" on the results channel")
	}
	if len(j.in.Plan) == 0 && j.in.KUnit == "" {
		j.worsen(Broken, "no program was planned")
	}
}

func (j *judge) hello(r *wire.Record) {
	j.report.Booted, j.report.Uname, j.clean = true, clip(r.Uname, maxReason), max(0, r.Taint)
	if r.Version != wire.Version {
		j.worsen(Broken, fmt.Sprintf("the guest's init speaks version %d of the protocol, runvm %d", r.Version, wire.Version))
	}
	// The builder puts the key into the kernel's version (uname -v).
	if key := j.in.Run.Kernel.Key; key != "" && strings.Contains(r.Uname, "runvm ") && !strings.Contains(r.Uname, "runvm "+key) {
		j.worsen(Broken, "the guest runs another kernel than "+key+": "+clip(r.Uname, maxReason))
	}
}

// sum draws the run's verdict from its programs and from the run itself.
func (j *judge) sum() {
	r := j.report
	r.Verdict, r.Reason = ofPrograms(r.Programs)
	if j.own != "" && rank(j.own) >= rank(r.Verdict) {
		r.Verdict, r.Reason = j.own, j.why
	}
	if j.in.Cut {
		r.Notes = append(r.Notes, "the guest flooded the host: its console or its results are cut, and say where")
	}
	for _, p := range j.in.Plan {
		if j.traces[p.ID].tally.flooded {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: more than %d tests; the others were dropped", p.ID, maxTests))
		}
	}
	if r.Verdict == Pass {
		r.Reason = ""
	}
}

// ofPrograms is the verdict over programs: the worst, but Skipped only when
// none has passed.
func ofPrograms(programs []Program) (Verdict, string) {
	worst, passed := Program{Verdict: Skipped, Reason: "nothing ran"}, false
	for _, p := range programs {
		passed = passed || p.Verdict == Pass
		if rank(p.Verdict) > rank(worst.Verdict) {
			worst = p
		}
	}
	switch {
	case worst.Verdict != Skipped:
		return worst.Verdict, worst.ID + ": " + worst.Reason
	case passed:
		return Pass, ""
	}
	return Skipped, worst.Reason
}
