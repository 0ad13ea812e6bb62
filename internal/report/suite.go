package report

import (
	"fmt"
	"path"
	"path/filepath"
	"time"

	"github.com/runvm/runvm/internal/verdict"
)

// A Source is what reports are made of.
type Source struct {
	Report *verdict.Report
	// Console is the console log, whole; reports quote bounded parts of it.
	Console []byte
	// Other reads the log that a complaint names when it is not Console; nil
	// where there are no others.
	Other func(name string) []byte
}

// log is the console log that a complaint or a program calls name.
func (s Source) log(name string) []byte {
	switch {
	case name == "" || name == s.Report.Run.Console:
		return s.Console
	case s.Other == nil:
		return nil
	}
	return s.Other(name)
}

// place is where a complaint stands: "guest-2/console.log:412".
func (s Source) place(c verdict.Complaint) string {
	name := "console.log"
	if rel, err := filepath.Rel(s.Report.Run.Dir, c.Console); c.Console != "" && err == nil {
		name = rel
	}
	return fmt.Sprintf("%s:%d", line(name), c.Lines[0])
}

// A suite is a program, or the run itself, to formats that know nothing but
// suites and cases. All that is wrong with it is in a case.
type suite struct {
	name    string // the program's ID
	console string // as in verdict.Program
	elapsed time.Duration
	cases   []entry
}

// An entry is a case of a suite, with the crashes charged to it.
type entry struct {
	verdict.Test
	crashes []verdict.Complaint
	part    bool // of what another entry counts for
}

// Names of the suite of the run and of entries that stand for no test.
const (
	runSuite     = "runvm"
	bootEntry    = "boot"
	runEntry     = "run"
	programEntry = "program"
)

// suites makes suites of a report, the run itself first.
func suites(r *verdict.Report) []suite {
	all := []suite{whole(r)}
	for i := range r.Programs {
		all = append(all, ofProgram(r, &r.Programs[i]))
	}
	return all
}

// whole is the suite of what concerns no program: did the guest boot, did the
// kernel complain before the first of them, what ended the run.
func whole(r *verdict.Report) suite {
	boot := entry{Test: verdict.Test{Name: bootEntry, Verdict: verdict.Pass, Reached: true}, crashes: crashes(r, "", "")}
	worst := verdict.Pass
	for _, p := range r.Programs {
		worst = verdict.Worse(worst, p.Verdict)
	}
	switch {
	case len(boot.crashes) > 0:
		boot.Verdict, boot.Reason = verdict.Crash, boot.crashes[0].Title
	case !r.Booted && wrong(r.Verdict):
		boot.Verdict, boot.Reason, boot.Output = r.Verdict, r.Reason, r.Tail
	}
	s := suite{name: runSuite, cases: []entry{boot}}
	if wrong(r.Verdict) && worse(r.Verdict, verdict.Worse(worst, boot.Verdict)) {
		s.cases = append(s.cases, entry{Test: verdict.Test{Name: runEntry, Verdict: r.Verdict, Reason: r.Reason, Output: r.Tail, Reached: true}})
	}
	return s
}

// ofProgram is the suite of p. A program without tests is its own case; so is
// what is wrong with one apart from its tests.
func ofProgram(r *verdict.Report, p *verdict.Program) suite {
	s := suite{name: p.ID, console: p.Console, elapsed: p.Elapsed}
	worst := verdict.Pass
	known := map[string]bool{}
	for i, t := range p.Tests {
		known[t.Name] = true
		worst = verdict.Worse(worst, t.Verdict)
		s.cases = append(s.cases, entry{Test: t, crashes: crashes(r, p.ID, t.Name), part: !counted(p, i)})
	}
	own := entry{Test: verdict.Test{Name: programEntry, Verdict: p.Verdict, Reason: p.Reason, Output: p.Output, Reached: p.Exit != nil, Elapsed: p.Elapsed}}
	for _, c := range r.Crashes {
		if c.Program == p.ID && !known[c.Test] && c.Allowed == nil {
			own.crashes = append(own.crashes, c)
		}
	}
	if len(p.Tests) == 0 {
		own.Name = path.Base(p.ID)
		if own.Flaky = p.Flaky; p.Flaky {
			own.Reason = "flaky: failed, and passed when it was run again"
		}
	}
	if len(p.Tests) == 0 || len(own.crashes) > 0 || wrong(p.Verdict) && worse(p.Verdict, worst) {
		s.cases = append(s.cases, own)
	}
	return s
}

// crashes are those charged to one test; "" and "" are those charged to none.
// What the allowlist covers is charged to nobody.
func crashes(r *verdict.Report, program, test string) []verdict.Complaint {
	var all []verdict.Complaint
	for _, c := range r.Crashes {
		if c.Allowed == nil && c.Program == program && (program == "" || c.Test == test) {
			all = append(all, c)
		}
	}
	return all
}

// unreached says that e is a test that never started.
func unreached(e entry) bool { return e.Verdict == verdict.Incomplete && !e.Reached }

// flaky says that e failed, and passed in the end.
func flaky(e entry) bool { return e.Flaky && !wrong(e.Verdict) }

// wrong says that v is neither a pass nor a skip.
func wrong(v verdict.Verdict) bool { return v != verdict.Pass && v != verdict.Skipped }

// worse says that a is worse than b.
func worse(a, b verdict.Verdict) bool { return a != b && verdict.Worse(a, b) == a }
