package verdict

import (
	"strings"
	"testing"
	"time"
)

// Where the kernel warns, one line of it after another.
const (
	suites  = "[    0.300000] KTAP version 1\n[    0.300001] 1..2\n[    0.300002]     KTAP version 1\n[    0.300003]     # Subtest: toy\n[    0.300004]     1..2\n"
	adds    = "[    0.310000]     ok 1 adds\n"
	takes   = "[    0.320000]     ok 2 takes\n"
	toyEnds = "[    0.330000] ok 1 toy\n"
	rerun   = "[    0.400000]     KTAP version 1\n[    0.400001]     # Subtest: toy\n[    0.400002]     1..1\n[    0.400003]     ok 1 adds\n[    0.400004] ok 1 toy\n"
	other   = "[    0.340000] ok 2 other\n"
)

func TestComplaintIsChargedToTheTestOfKUnitThatRan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, log string
		program   string
		test      string
		verdict   Verdict
	}{
		{"before the first", suites + warning + adds + takes + toyEnds + other, KernelLog, "toy/adds", Crash},
		{"between two", suites + adds + warning + takes + toyEnds + other, KernelLog, "toy/takes", Crash},
		{"before a suite without subtests", suites + adds + takes + toyEnds + warning + other, KernelLog, "other", Crash},
		{"after the last", suites + adds + takes + toyEnds + other + warning, "", "", Pass},
		{"before all", warning + suites + adds + takes + toyEnds + other, "", "", Pass},
		{"in a program", suites + adds + takes + toyEnds + other + marked("A") + warning, id, "TestA", Pass},
	} {
		in := good()
		in.Console = []byte(booted + c.log + marked("A"))
		r := Judge(in)
		if len(r.Crashes) != 1 || r.Crashes[0].Program != c.program || r.Crashes[0].Test != c.test || r.Verdict != Crash {
			t.Errorf("%s: %s, crashes %+v", c.name, r.Verdict, r.Crashes)
		}
		if p := r.kernelLog(); p.Verdict != c.verdict {
			t.Errorf("%s: the kernel's tests are %s", c.name, p.Verdict)
		}
	}
}

func TestKernelThatDiesInATestOfItsOwnWasTested(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, log string
		end       End
		code      int
		reason    string
	}{
		{"in a suite", suites + adds + panicked, EndReset, ExitWrong, "kernel log: toy: "},
		{"silent in a suite", suites + adds, EndSilence, ExitWrong, "the kernel hung before it started init"},
		{"after them", suites + adds + takes + toyEnds + other + panicked, EndReset, ExitNoVerdict, "the kernel died before it started init: "},
		{"without any", panicked, EndReset, ExitNoVerdict, "the kernel died before it started init: "},
	} {
		r := Judge(In{Plan: plan(), Console: []byte("[    0.000000] Linux version 6.12.1\n" + c.log), End: c.end})
		if r.ExitCode() != c.code || !strings.Contains(r.Reason, c.reason) {
			t.Errorf("%s: exit code %d, %s: %q", c.name, r.ExitCode(), r.Verdict, r.Reason)
		}
	}
}

func TestTestsOfKUnitThatWereAskedForMustCome(t *testing.T) {
	t.Parallel()
	const none = "[    0.300000] KTAP version 1\n[    0.300001] 1..0\n"
	for _, c := range []struct {
		name, log string
		want      Verdict
		code      int
	}{
		{"they passed", suites + adds + takes + toyEnds + other, Pass, ExitPass},
		{"none came", "", Incomplete, ExitWrong},
		{"none matched", none, Skipped, ExitNoVerdict},
		{"run again by debugfs", suites + adds + takes + toyEnds + other + rerun + rerun, Pass, ExitPass},
		{"run again, and failed", suites + adds + takes + toyEnds + other + strings.Replace(rerun, "ok 1 toy", "not ok 1 toy", 1), Fail, ExitWrong},
		{"run again before all had run", suites + adds + takes + toyEnds + rerun + other, Incomplete, ExitWrong},
		{"one is missing", suites + adds + toyEnds + other, Incomplete, ExitWrong},
	} {
		in := In{KUnit: "*", Records: records("")[:1], Console: []byte(booted + c.log), End: EndPowerOff}
		in.Records = append(in.Records, done)
		r := Judge(in)
		if r.Verdict != c.want || r.ExitCode() != c.code || len(r.Programs) != 1 {
			t.Errorf("%s: %s, %q, exit code %d, %d programs", c.name, r.Verdict, r.Reason, r.ExitCode(), len(r.Programs))
		}
	}
}

func TestElapsedOfKUnitIsTheKernels(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + suites + adds + takes + toyEnds + other + marked("A"))
	if got := Judge(in).kernelLog().Elapsed; got != 40*time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := between([]byte("a\nb\n"), 1, 2); got != 0 {
		t.Errorf("without time stamps: %v", got)
	}
}

// A test of KUnit that passes in another boot is flaky, one that fails again is
// not, and a crash stays one.
func TestTestsOfKUnitAreRetriedByAnotherBoot(t *testing.T) {
	t.Parallel()
	judged := func(log string) *Report {
		return Judge(In{KUnit: "*", Records: append(records("")[:1], done), Console: []byte(booted + suites + log), End: EndPowerOff})
	}
	bad := strings.Replace(takes, "ok 2", "not ok 2", 1)
	fails := adds + bad + strings.Replace(toyEnds, "ok 1", "not ok 1", 1) + other
	for name, c := range map[string]struct {
		first, second string
		want          Verdict
		flaky         bool
	}{
		"passes then":  {fails, adds + takes + toyEnds + other, Pass, true},
		"fails again":  {fails, fails, Fail, false},
		"crashed once": {warning + fails, adds + takes + toyEnds + other, Crash, true},
	} {
		r := Merge(judged(c.first), judged(c.second), 1)
		flaky := false
		for _, test := range r.Programs[0].Tests {
			flaky = flaky || test.Flaky && test.Name == "toy/takes"
		}
		if r.Verdict != c.want || flaky != c.flaky || len(r.Programs) != 1 {
			t.Errorf("%s: %s, %q, flaky %v", name, r.Verdict, r.Reason, flaky)
		}
	}
}
