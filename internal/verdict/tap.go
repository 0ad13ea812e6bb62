package verdict

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"

	"github.com/runvm/runvm/internal/ktap"
	"github.com/runvm/runvm/internal/wire"
)

// exitSkip is the exit code of a kselftest that does not apply here. It has
// that meaning only for a program that speaks the protocol.
const exitSkip = 4

// tap judges what a program told of its tests; exit is how it ended, nil when
// it did not. With exitSkip results that it owes are no loss.
func (p *Program) tap(doc *ktap.Document, exit *wire.Record) {
	p.Protocol, p.Tests = ByKTAP, flat(nil, "", doc.Tests)
	missing := doc.Missing
	switch {
	case exit == nil || missing == "":
	case exit.Code == exitSkip:
		missing = ""
	case exit.Signal != 0:
		missing += fmt.Sprintf(", killed by signal %d (%v)", exit.Signal, syscall.Signal(exit.Signal))
	case exit.Code != 0:
		missing += fmt.Sprintf(", exit code %d", exit.Code)
	}
	if len(p.Tests) > 0 {
		p.worsen(ofTests(unexplained(p.Tests)))
	}
	if doc.Skipped != "" && len(p.Tests) == 0 {
		p.worsen(Skipped, doc.Skipped)
	}
	switch {
	case doc.Bail != "" && missing != "":
		p.worsen(Incomplete, "bailed out: "+join(doc.Bail, missing))
	case doc.Bail != "":
		p.worsen(Fail, "bailed out: "+doc.Bail)
	case missing != "":
		p.worsen(Incomplete, missing)
	}
}

// unexplained is tests, of which a parent stands before its subtests, without
// those that are bad because a subtest is as bad: that one says why.
func unexplained(tests []Test) []Test {
	var all []Test
	for i, t := range tests {
		explained := false
		for _, sub := range tests[i+1:] {
			if explained || !strings.HasPrefix(sub.Name, t.Name+"/") {
				break
			}
			explained = rank(t.Verdict) > rank(Skipped) && rank(sub.Verdict) >= rank(t.Verdict)
		}
		if !explained {
			all = append(all, t)
		}
	}
	return all
}

// flat appends tests and what is below them to all, a parent before its
// subtests.
func flat(all []Test, parent string, tests []ktap.Test) []Test {
	for _, t := range tests {
		judged := Test{Name: parent + t.Name, Verdict: ofStatus(t.Status), Reached: true, Runs: 1, Output: t.Output}
		if judged.Verdict != Pass {
			judged.Reason = t.Why
		}
		if judged.Verdict == Fail && judged.Reason == "" {
			judged.Reason = complaint(t.Output)
		}
		if judged.Verdict == Fail {
			judged.Failed = 1
		}
		if t.Status == ktap.Incomplete && t.Why == ktap.NeverEnded {
			judged.Runs, judged.Open = 0, true
		}
		all = flat(append(all, judged), judged.Name+"/", t.Tests)
	}
	return all
}

func ofStatus(s ktap.Status) Verdict {
	switch s {
	case ktap.Pass:
		return Pass
	case ktap.Skip:
		return Skipped
	case ktap.Incomplete:
		return Incomplete
	}
	return Fail
}

// complaint picks the line of a failed test's diagnostics that names a place
// in the source, else the last that says more than FAIL.
func complaint(output string) string {
	place := regexp.MustCompile(`\.(c|h|S|rs|sh):[0-9]+`)
	last := ""
	for _, line := range strings.Split(output, "\n") {
		text := strings.Trim(line, "# \t")
		if place.MatchString(text) {
			return clip(text, maxReason)
		}
		if text != "" && !strings.HasPrefix(text, "FAIL ") && !strings.HasPrefix(text, "RUN ") {
			last = text
		}
	}
	return clip(last, maxReason)
}
