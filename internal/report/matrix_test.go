package report

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/verdict"
)

func TestMatrixCountsCases(t *testing.T) {
	t.Parallel()
	test := func(name string, v verdict.Verdict, reason string) verdict.Test {
		return verdict.Test{Name: name, Verdict: v, Reason: reason, Reached: true}
	}
	const pass, fail, skipped, crash = verdict.Pass, verdict.Fail, verdict.Skipped, verdict.Crash
	s := Source{Report: &verdict.Report{Booted: true, Programs: []verdict.Program{
		{ID: "example.com/a", Protocol: verdict.ByGo, Verdict: crash, Tests: []verdict.Test{
			test("TestA", fail, "a case"),
			test("TestA/x", pass, ""), test("TestA/x/1", pass, ""), test("TestA/x/2", skipped, "expected"), test("TestA/x/3/deep", pass, ""),
			test("TestA/y", fail, "a case"), test("TestA/y/1", fail, "wrong\x1b[2J"), test("TestA/y/2", skipped, "expected"),
			test("TestB", crash, "a case"),
			test("TestB/z", skipped, "not on this kernel"),
			test("TestB/y", crash, "WARNING in f"), test("TestB/y/1", pass, ""), // it is y itself that went wrong
			test("TestC", pass, ""),
			test("TestD", pass, ""), test("TestD/z", skipped, "not on this kernel"),
		}},
		{ID: "example.com/b", Protocol: verdict.ByGo, Verdict: pass, Tests: []verdict.Test{test("TestFlat", pass, "")}},
	}}}
	var b bytes.Buffer
	if err := Matrix(&b, s); err != nil {
		t.Fatal(err)
	}
	const want = `example.com/a  passed/failed/skipped
       x      y      z  all
TestA  2/0/1  0/1/1  -  2/1/2
TestB  -      1/1/0  -  1/1/0
TestC  -      -      -  1/0/0
TestD  -      -      -  0/0/0
all                     4/2/2
fail  TestA/1  (y)  wrong
crash  TestB  (y)  WARNING in f
skipped  TestA/2  (x, y)  expected
skipped  all  (z)  not on this kernel
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
