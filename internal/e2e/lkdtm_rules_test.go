package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

// An outcome is one way in which a crash type may rightly end.
type outcome struct {
	verdict verdict.Verdict
	fault   console.Fault // of the first crash
	// title is a regular expression for the first crash's title; {} in it is
	// the guilty function.
	title string
	// guilty is a regular expression for the function to blame; empty is the
	// type's own.
	guilty string
	// says must be on the console: what the kernel itself gives as the reason
	// why it survived. A type that survives without a word is not believed.
	says string
	// lacks must not be on the console.
	lacks string
	why   string
}

// String is what the table shows: "crash: kasan", "hang", "survives".
func (o outcome) String() string {
	switch o.verdict {
	case verdict.Crash:
		return fmt.Sprintf("crash: %s", o.fault)
	case verdict.Pass:
		return "survives"
	}
	return string(o.verdict)
}

// by returns o with another guilty function and the reason for it.
func (o outcome) by(guilty, why string) outcome {
	o.guilty, o.why = guilty, why
	return o
}

func crash(fault console.Fault, title string) outcome {
	return outcome{verdict: verdict.Crash, fault: fault, title: title}
}

func survives(says, why string) outcome {
	return outcome{verdict: verdict.Pass, says: says, why: why}
}

// without is a type whose detector is not built in.
func without(symbol string) outcome {
	return survives(`built \*without\* CONFIG_`+symbol+`=y`, symbol+" is not set")
}

// blind is a type that only KASAN finds, on a kernel without it.
func blind(says, why string) outcome {
	o := survives(says, "KASAN is not set: "+why)
	o.lacks = "KernelAddressSanitizer initialized"
	return o
}

func hangs(why string) outcome { return outcome{verdict: verdict.Hang, why: why} }

// oops and the like are ends that many types share.
func oops() outcome {
	return crash(console.FaultPage, "BUG: unable to handle kernel paging request in {}")
}
func nullOops() outcome {
	return crash(console.FaultNull, "BUG: unable to handle kernel NULL pointer dereference in {}")
}
func warning() outcome  { return crash(console.FaultWarning, "WARNING in {}") }
func usercopy() outcome { return crash(console.FaultUsercopy, "BUG: bad usercopy in {}") }
func kasan(what string) outcome {
	return crash(console.FaultKASAN, "KASAN: "+what+" in {}")
}

// outcomes are the ways in which a type may end; none for a type that nobody
// has thought of yet. The kernel's configuration picks one of them.
func outcomes(kind string) []outcome {
	for _, family := range []map[string][]outcome{bugs(), stacks(), stuck(), heap(), perms(), copies(), fortify(), others()} {
		if os, ok := family[kind]; ok {
			return os
		}
	}
	if strings.HasPrefix(kind, "REFCOUNT_") {
		return []outcome{crash(console.FaultRefcount, "WARNING: refcount bug in {}")}
	}
	return nil
}

// A run is what runvm made of one crash type.
type run struct {
	kind    string
	report  verdict.Report
	console []byte
}

// compare holds a run against the outcomes of its type and returns its row;
// problems are what is wrong, one sentence each.
func compare(r run) (rw row, problems []string) {
	rw = row{Type: r.kind, Expected: "?", Reported: reported(r), Why: ""}
	rw.Guilty = where(r.report)
	all := outcomes(r.kind)
	if len(all) == 0 {
		return rw, []string{"unknown type: " + r.kind + ": say in outcomes how it may end"}
	}
	rw.Expected = all[0].String()
	if r.report.Verdict == verdict.Pass && !r.quiet() {
		return rw, []string{"the kernel complained and runvm says pass"}
	}
	for _, o := range all {
		why := o.differs(r)
		if why == "" {
			rw.Expected, rw.Why = o.String(), o.why
			return rw, nil
		}
		problems = append(problems, why)
	}
	return rw, problems
}

// where is the function that is guilty of a crash, or in which LKDTM was when
// the guest hung.
func where(r verdict.Report) string {
	switch {
	case len(r.Crashes) > 0:
		return r.Crashes[0].Guilty.Func
	case r.Stuck == nil:
		return ""
	}
	for _, task := range slices.Concat(r.Stuck.CPUs, r.Stuck.Blocked) {
		for _, f := range task.Frames {
			if strings.HasPrefix(f.Func, function("")) {
				return f.Func
			}
		}
	}
	return ""
}

// reported is what runvm said in short.
func reported(r run) string {
	if len(r.report.Crashes) > 0 {
		return "crash: " + r.report.Crashes[0].Title
	}
	return string(r.report.Verdict)
}

// function is the one that LKDTM has for a type.
func function(kind string) string { return "lkdtm_" + kind }

// differs says how what runvm made of a run is not o; "" when it is.
func (o outcome) differs(r run) string {
	if o.says != "" && !regexp.MustCompile(o.says).Match(r.console) {
		return fmt.Sprintf("%s: the console does not say %q", o, o.says)
	}
	if o.lacks != "" && strings.Contains(string(r.console), o.lacks) {
		return fmt.Sprintf("%s: the console says %q", o, o.lacks)
	}
	if r.report.Verdict != o.verdict {
		return fmt.Sprintf("%s: the verdict is %s", o, r.report.Verdict)
	}
	switch f := where(r.report); {
	case o.verdict == verdict.Hang && f != function(r.kind):
		return fmt.Sprintf("%s: in %q, want %s", o, f, function(r.kind))
	case o.verdict != verdict.Crash:
		return ""
	}
	return o.unlike(r.report.Crashes[0], r.kind)
}

// unlike says how the crash of a type is not o; "" when it is.
func (o outcome) unlike(c verdict.Complaint, kind string) string {
	guilty := o.guilty
	if guilty == "" {
		guilty = function(kind)
	}
	title := strings.ReplaceAll(o.title, "{}", c.Guilty.Func)
	switch {
	case c.Fault != o.fault:
		return fmt.Sprintf("%s: the fault is %s", o, c.Fault)
	case !whole(guilty, c.Guilty.Func):
		return fmt.Sprintf("%s: %s is guilty, want %s", o, c.Guilty.Func, guilty)
	case !whole(title, c.Title):
		return fmt.Sprintf("%s: the title is %q, want %q", o, c.Title, title)
	case c.Corrupted:
		return fmt.Sprintf("%s: the report is called damaged: %s", o, c.Damage)
	case c.Test != "TestProvoke/"+kind:
		return fmt.Sprintf("%s: %s is charged", o, c.Test)
	}
	return ""
}

// whole says that expr matches all of s.
func whole(expr, s string) bool { return regexp.MustCompile("^(?:" + expr + ")$").MatchString(s) }

// alarm is what no console of a kernel that is well holds, whatever the
// crash reader thinks of it.
var alarm = regexp.MustCompile(`(?i)(BUG:|WARNING:|Call Trace|Oops|panic - |KASAN|UBSAN: |stall|lockup -)`)

// quiet says whether the kernel said nothing bad after it was provoked.
func (r run) quiet() bool {
	_, after, ok := strings.Cut(string(r.console), "Performing direct entry "+r.kind)
	for line := range strings.Lines(after) {
		if !strings.Contains(line, "lkdtm: ") && alarm.MatchString(line) {
			return false
		}
	}
	return ok
}
