package verdict

import (
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/wire"
)

const tapHead = "TAP version 13\n1..2\n"

func TestProgramIsJudgedByItsTAP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, output string
		code         int
		want         Verdict
		reason       string // in the program's
		tests        string // names and verdicts
	}{
		{"pass", tapHead + "ok 1 a\nok 2 b\n", 0, Pass, "", "a pass b pass"},
		{"a failure beats exit code 0", tapHead + "ok 1 a\n# x.c:7: not 5\nnot ok 2 b\n", 0, Fail, "b: x.c:7: not 5", "a pass b fail"},
		{"exit code beats results", tapHead + "ok 1 a\nok 2 b\n", 1, Fail, "exit code 1", "a pass b pass"},
		{"fewer results than planned", tapHead + "ok 1 a\n", 0, Incomplete, "1 of 2 planned results", "a pass"},
		{"more results than planned", tapHead + "ok 1 a\nok 2 b\nok 2 b\n", 0, Incomplete, "3 of 2 planned results", "a pass b pass b#01 pass"},
		{"exit code of one cut short", tapHead + "ok 1 a\n", 1, Incomplete, "1 of 2 planned results, exit code 1", "a pass"},
		{"the harness's own words", tapHead + "ok 1 a\n# b: Test terminated by timeout\n#          FAIL  b\nnot ok 2 b\n", 1, Fail, "b: b: Test terminated by timeout", "a pass b fail"},
		{"bailed out", tapHead + "ok 1 a\nBail out! no disk\n", 1, Incomplete, "bailed out: no disk: 1 of 2 planned results, exit code 1", "a pass"},
		{"bailed out at the end", tapHead + "ok 1 a\nok 2 b\nBail out! no disk\n", 0, Fail, "bailed out: no disk", "a pass b pass"},
		{"one skipped", tapHead + "ok 1 a # SKIP no net\nok 2 b\n", 0, Pass, "", "a skipped b pass"},
		{"all skipped", tapHead + "ok 1 a # SKIP no net\nok 2 b # SKIP\n", 0, Skipped, "every test skipped itself", "a skipped b skipped"},
		{"nothing planned", "TAP version 13\n1..0 # SKIP no net\n", 4, Skipped, "no net", ""},
		{"exit code for skip", tapHead + "ok 1 a # SKIP no net\n", 4, Skipped, "every test", "a skipped"},
		{"a failure beats exit code for skip", tapHead + "not ok 1 a\n", 4, Fail, "a", "a fail"},
		{"nothing but a version", "KTAP version 1\n", 0, Incomplete, "neither a plan nor a result", ""},
		{"subtests", "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 x\n  not ok 2 y\nok 1 s\n", 0, Fail, "s/y", "s pass s/x pass s/y fail"},
		{"subtests cut", "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 x\n", 0, Incomplete, "started and never ended", "subtest 1 incomplete subtest 1/x pass"},
		{"another language", "hello\nTAP version 13\n1..2\n", 0, Pass, "", ""},
		{"exit code 4 of another language", "hello\n", 4, Fail, "exit code 4", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := good()
			in.Plan = []Planned{{ID: id}}
			in.Records = records(test.output, wire.Record{Type: wire.Out, ID: id, Stream: 2, Text: "not ok 9 on standard error\n"}, exit(test.code), done)
			r := Judge(in)
			p := r.Programs[0]
			if r.Verdict != test.want || p.Verdict != test.want || !strings.Contains(p.Reason, test.reason) {
				t.Errorf("got %s, %s, %q; want %s, %q", r.Verdict, p.Verdict, p.Reason, test.want, test.reason)
			}
			if got := named(p.Tests); got != test.tests {
				t.Errorf("tests %q, want %q", got, test.tests)
			}
		})
	}
}

// A kselftest that passes when it is run again is flaky, and so is each of its
// results that was a failure.
func TestRetriedTAPIsFlaky(t *testing.T) {
	t.Parallel()
	judged := func(output string, code int) *Report {
		in := good()
		in.Plan = []Planned{{ID: id}}
		in.Records = records(output, exit(code), done)
		return Judge(in)
	}
	r := Merge(judged(tapHead+"ok 1 a\nnot ok 2 b\n", 1), judged(tapHead+"ok 1 a\nok 2 b\n", 0), 1)
	b := r.Programs[0].Tests[1]
	if r.Verdict != Pass || !b.Flaky || b.Reason != "flaky: failed 1 of 2 runs" {
		t.Errorf("got %s, %s; b is %+v", r.Verdict, r.Reason, b)
	}
}

// kselftest_harness.h writes what it expected to standard error.
func TestStandardErrorTellsWhyATAPFailed(t *testing.T) {
	t.Parallel()
	in := good()
	in.Plan = []Planned{{ID: id}}
	in.Records = records(tapHead+"ok 1 a\n#  RUN  b ...\n",
		wire.Record{Type: wire.Out, ID: id, Stream: 2, Text: "# x.c:7:b:Expected 1 == 2\nok 2 b\n"},
		wire.Record{Type: wire.Out, ID: id, Stream: 1, Text: "#  FAIL  b\nnot ok 2 b\n"}, exit(1), done)
	p := Judge(in).Programs[0]
	if got := named(p.Tests); got != "a pass b fail" || p.Tests[1].Reason != "x.c:7:b:Expected 1 == 2" {
		t.Errorf("got %s, %q", got, p.Tests[1].Reason)
	}
}

func named(tests []Test) string {
	var words []string
	for _, test := range tests {
		words = append(words, test.Name, string(test.Verdict))
	}
	return strings.Join(words, " ")
}

func TestHangIsChargedToTheOpenSubtest(t *testing.T) {
	t.Parallel()
	in := good()
	in.Plan = []Planned{{ID: id}}
	in.Records = records("KTAP version 1\n1..2\n  KTAP version 1\n  # Subtest: stuck\n  1..3\n  ok 1 x\n")
	in.End = EndSilence
	r := Judge(in)
	if got := named(r.Programs[0].Tests); r.Verdict != Hang || got != "stuck hang stuck/x pass" {
		t.Errorf("got %s, %q", r.Verdict, got)
	}
}

const kunit = `[    0.300000] KTAP version 1
[    0.300001] 1..2
[    0.300002]     KTAP version 1
[    0.300003]     # Subtest: toy
[    0.300004]     1..2
[    0.300005]     ok 1 adds
[    0.300006] random: crng init done
[    0.300007]     not ok 2 takes
[    0.300008] not ok 1 toy
`

func TestKUnitInTheKernelLog(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + kunit + "[    0.300009] ok 2 other # SKIP\n" + marked("A"))
	r := Judge(in)
	if r.Verdict != Fail || !strings.HasPrefix(r.Reason, "kernel log: toy/takes: ") || len(r.Programs) != 2 || r.Programs[1].ID != KernelLog {
		t.Fatalf("got %s, %q, %d programs", r.Verdict, r.Reason, len(r.Programs))
	}
	if got := named(r.Programs[1].Tests); got != "toy fail toy/adds pass toy/takes fail other skipped" {
		t.Errorf("tests %q", got)
	}
	in.Console = []byte(booted + kunit + marked("A"))
	if r := Judge(in); r.Verdict != Incomplete || !strings.Contains(r.Reason, "1 of 2 planned results") {
		t.Errorf("a log cut short: %s, %q", r.Verdict, r.Reason)
	}
}
