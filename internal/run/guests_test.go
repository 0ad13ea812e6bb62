package run

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/wire"
)

// plan returns programs: Go packages with these tests, or a script for none.
func plan(count int, tests ...string) *programs {
	ps := &programs{selection: gotest.Selection{Skip: "X/y", Count: count}}
	for i, names := range tests {
		id := fmt.Sprintf("p%d", i)
		planned := verdict.Planned{ID: id, Count: count}
		if names != "" {
			planned.Go, planned.Tests = true, strings.Fields(names)
		}
		ps.planned = append(ps.planned, planned)
		ps.tests = append(ps.tests, wire.Test{ID: id, Argv: []string{"/test/" + id, "-test.v"}})
	}
	return ps
}

// describe is "p0: A B; p1".
func describe(planned []verdict.Planned) string {
	var all []string
	for _, p := range planned {
		all = append(all, strings.TrimSuffix(p.ID+": "+strings.Join(p.Tests, " "), ": "))
	}
	return strings.Join(all, "; ")
}

func ran(name string, runs int) verdict.Test {
	v := verdict.Pass
	if runs == 0 {
		v = verdict.Incomplete
	}
	return verdict.Test{Name: name, Verdict: v, Reached: runs > 0, Runs: runs}
}

func TestUnreachedIsWhatADeadGuestLeft(t *testing.T) {
	t.Parallel()
	open := verdict.Test{Name: "B", Verdict: verdict.Crash, Reached: true, Open: true}
	exit := &verdict.Exit{}
	for name, c := range map[string]struct {
		count         int
		programs      []verdict.Program
		rest, reached string
	}{
		"in a test": {1, []verdict.Program{{Reached: true, Tests: []verdict.Test{ran("A", 1), open, ran("C", 0)}}, {}, {}},
			"p0: C; p1: D; p2", "p0: A B"},
		"in the last test": {1, []verdict.Program{{Reached: true, Tests: []verdict.Test{ran("A", 1), ran("C", 1), open}}, {}, {}},
			"p1: D; p2", "p0: A B C"},
		"before the first test": {1, []verdict.Program{{Reached: true, Tests: []verdict.Test{ran("A", 0), ran("B", 0), ran("C", 0)}}, {}, {}},
			"p1: D; p2", "p0: A B C"},
		"in a script": {1, []verdict.Program{{Reached: true, Exit: exit}, {Reached: true, Exit: exit}, {Reached: true}},
			"", "p0: A B C; p1: D; p2"},
		"before everything": {1, []verdict.Program{{}, {}, {}},
			"p0: A B C; p1: D; p2", ""},
		"in the second round": {2, []verdict.Program{{Reached: true, Tests: []verdict.Test{ran("A", 2),
			{Name: "B", Verdict: verdict.Crash, Reached: true, Open: true, Runs: 1},
			{Name: "C", Verdict: verdict.Incomplete, Reached: true, Runs: 1}}}, {}, {}},
			"p0: C; p1: D; p2", "p0: A B"},
	} {
		rest, reached := plan(c.count, "A B C", "D", "").unreached(&verdict.Report{Programs: c.programs})
		if got := describe(rest.planned); got != c.rest || describe(reached) != c.reached {
			t.Errorf("%s: left %q, reached %q", name, got, describe(reached))
		}
		if len(rest.tests) != len(rest.planned) {
			t.Errorf("%s: %d programs, %d planned", name, len(rest.tests), len(rest.planned))
		}
	}
}

// The rest of a package runs without what ran before, also the third time.
func TestRestSkipsWhatRan(t *testing.T) {
	t.Parallel()
	open := func(name string) verdict.Test {
		return verdict.Test{Name: name, Verdict: verdict.Crash, Reached: true, Open: true}
	}
	report := func(tests ...verdict.Test) *verdict.Report {
		return &verdict.Report{Programs: []verdict.Program{{ID: "p0", Reached: true, Tests: tests}}}
	}
	rest, _ := plan(1, "A B C D").unreached(report(ran("A", 1), open("B"), ran("C", 0), ran("D", 0)))
	rest, _ = rest.unreached(report(open("C"), ran("D", 0)))
	argv := rest.tests[0].Argv
	if argv[0] != "/test/p0" || !slices.Contains(argv, "-test.skip=X/y|^(C|A|B)$") || describe(rest.planned) != "p0: D" {
		t.Errorf("%q runs %q", describe(rest.planned), argv)
	}
}

func TestFailedAreTestsNotCrashes(t *testing.T) {
	t.Parallel()
	report := &verdict.Report{Programs: []verdict.Program{
		{ID: "p0", Verdict: verdict.Crash, Tests: []verdict.Test{
			{Name: "A", Verdict: verdict.Fail}, {Name: "A/sub", Verdict: verdict.Fail}, {Name: "B", Verdict: verdict.Crash}, ran("C", 1)}},
		{ID: "p1", Verdict: verdict.Pass},
		{ID: "p2", Verdict: verdict.Fail},
	}}
	if got := describe(plan(1, "A B C", "D", "").failed(report).planned); got != "p0: A; p2" {
		t.Errorf("runs %q again", got)
	}
	report.Programs[2].Verdict = verdict.Crash
	if got := describe(plan(1, "A B C", "D", "").failed(report).planned); got != "p0: A" {
		t.Errorf("runs %q again", got)
	}
}

func TestTestsOfTheKernelNeedNoProgram(t *testing.T) {
	t.Parallel()
	c := &Conductor{}
	p := Plan{Kernel: Kernel{Spec: Auto}, Guest: Guest{MemoryMiB: 64, CPUs: 1, Accel: "auto"}, KUnit: "list*.add", Dir: t.TempDir()}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	progs, err := c.programs(t.Context(), p)
	if err != nil || len(progs.tests) > 0 || !slices.Equal(progs.kernelArgs(), []string{"kunit.enable=1", "kunit.filter_glob=list*.add"}) {
		t.Errorf("%+v, %v, %q", progs, err, progs.kernelArgs())
	}
	if got := progs.none().kernelArgs(); len(got) != 2 {
		t.Errorf("another guest has %q", got)
	}
	for _, glob := range []string{"a b", "a oops=panic", `"`, "a\n"} {
		p.KUnit = glob
		if err := p.Check(); err == nil {
			t.Errorf("-kunit %q is taken", glob)
		}
	}
}
