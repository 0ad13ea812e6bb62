package verdict

import (
	"strings"
	"testing"
)

// of returns the report of a guest that ran one program with these tests.
func of(v Verdict, tests ...Test) *Report {
	p := Program{ID: "p", Verdict: Pass, Reached: true, Tests: tests}
	p.worsen(ofTests(tests))
	p.worsen(v, "itself")
	r := &Report{Programs: []Program{p}, Run: Run{Dir: "dir", Console: "console"}}
	r.Verdict, r.Reason = ofPrograms(r.Programs)
	return r
}

func passed(name string) Test { return Test{Name: name, Verdict: Pass, Reached: true, Runs: 1} }
func failed(name string) Test {
	return Test{Name: name, Verdict: Fail, Reason: "no", Reached: true, Runs: 1, Failed: 1}
}
func crashed(name string) Test {
	return Test{Name: name, Verdict: Crash, Reason: "oops", Reached: true}
}

func TestMergeKeepsTheWorst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		first  *Report
		next   *Report
		retry  int
		want   Verdict
		reason string
		tests  string
	}{
		{"the rest passes", of(Pass, passed("A"), crashed("B")), of(Pass, passed("C")), 0, Crash, "p: B: oops", "A pass, B crash, C pass"},
		{"the rest crashes", of(Pass, passed("A")), of(Pass, crashed("C")), 0, Crash, "p: C: oops", "A pass, C crash"},
		{"a hang without a test", of(Hang, passed("A")), of(Pass, passed("C")), 0, Hang, "p: itself", "A pass, C pass"},
		{"flaky", of(Pass, passed("A"), failed("B")), of(Pass, passed("B")), 1, Pass, "", "A pass, B pass flaky: failed 1 of 2 runs"},
		{"fails twice", of(Pass, passed("A"), failed("B")), of(Pass, failed("B")), 1, Fail, "p: B: no", "A pass, B fail"},
		{"one of two is flaky", of(Pass, failed("A"), failed("B")), of(Pass, failed("A"), passed("B")), 1, Fail, "p: A: no", "A fail, B pass flaky: failed 1 of 2 runs"},
		{"a retry that crashes", of(Pass, failed("B")), of(Pass, crashed("B")), 1, Crash, "p: B: oops", "B crash"},
		{"a crash is not retried away", of(Pass, crashed("A"), failed("B")), of(Pass, passed("A"), passed("B")), 1, Crash, "p: A: oops", "A crash, B pass flaky: failed 1 of 2 runs"},
		{"a retry that cannot start", of(Pass, failed("B")), of(Broken), 1, Broken, "p: itself", "B fail"},
		{"not a matter of tests", of(Fail, passed("B")), of(Pass, passed("B")), 1, Fail, "p: itself", "B pass"},
		{"a script that is flaky", &Report{Verdict: Fail, Programs: []Program{{ID: "p", Verdict: Fail}}}, &Report{Verdict: Pass, Programs: []Program{{ID: "p", Verdict: Pass}}}, 1, Pass, "", ""},
	} {
		got := Merge(c.first, c.next, c.retry)
		var tests []string
		for _, test := range got.Programs[0].Tests {
			s := test.Name + " " + string(test.Verdict)
			if test.Flaky {
				s += " " + test.Reason
			}
			tests = append(tests, s)
		}
		if s := strings.Join(tests, ", "); got.Verdict != c.want || got.Reason != c.reason || s != c.tests {
			t.Errorf("%s: %s (%s): %s", c.name, got.Verdict, got.Reason, s)
		}
		if len(got.Guests) != 2 || got.Guests[1].Retry != c.retry {
			t.Errorf("%s: guests %+v", c.name, got.Guests)
		}
	}
}

// What concerns a whole guest is not lost, and its crashes say where they are.
func TestMergeKeepsWhatIsNotOfAProgram(t *testing.T) {
	t.Parallel()
	first, next := of(Pass, passed("A")), of(Pass, passed("B"))
	next.Verdict, next.Reason, next.Notes = Crash, "before the first program", []string{"remark"}
	next.Crashes = []Complaint{{}}
	next.Run.Console = "console-2"
	third := of(Pass, passed("C"))
	got := Merge(Merge(first, next, 0), third, 0)
	if got.Verdict != Crash || got.Reason != "before the first program" || len(got.Guests) != 3 {
		t.Errorf("%s (%s), guests %+v", got.Verdict, got.Reason, got.Guests)
	}
	if got.Crashes[0].Console != "console-2" || got.Notes[0] != "guest 2: remark" {
		t.Errorf("%+v, %q", got.Crashes, got.Notes)
	}
}
