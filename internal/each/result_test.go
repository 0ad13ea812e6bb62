package each

import (
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
)

func toy() *Result {
	return &Result{Schema: Schema, Base: "linux 6.12.1", Dir: "/runs/1", Steps: []Step{
		{Number: 1, Patch: verdict.Patch{Name: "1.patch"}, Commands: 12, Took: 3e9, Booted: true, Verdict: verdict.Pass,
			Complaints: []kernel.Complaint{{Tool: "checkpatch", Type: "WARNING:LONG_LINE", File: "fs/a.c", Line: 3, Text: "long\x1b[2J"}}},
		{Number: 2, Patch: verdict.Patch{Name: "2.patch"}, Build: "build x: fs/a.c:3:1: error: no"},
		{Number: 3, Patch: verdict.Patch{Name: "3.patch", NotCompiled: []verdict.Gap{{File: "fs/b.c", Why: "not built"}}}, Cached: true,
			Verdict: verdict.Crash, Reason: "panic", Dir: "/runs/1/3"},
	}}
}

func TestText(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Text(&b, toy()); err != nil {
		t.Fatal(err)
	}
	const want = `EACH FAIL  of 3 patches, those that fail are 2, 3
  patch       build             boot  tests  new complaints  not compiled
  1  1.patch  3 s, 12 commands  yes   pass   1               -
  2  2.patch  FAILS             -     -      -               -
  3  3.patch  cached            NO    crash  -               1
  1  checkpatch  WARNING:LONG_LINE  fs/a.c:3: long [2J
  2  does not build: build x: fs/a.c:3:1: error: no
  3  crash: panic  /runs/1/3
  3  fs/b.c is not compiled: not built
base     linux 6.12.1
runs     /runs/1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if line := toy().Line(1, 3); line != "2 of 3  2.patch  does not build: build x: fs/a.c:3:1: error: no" {
		t.Errorf("line %q", line)
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	of := func(verdicts ...verdict.Verdict) *Result {
		r := &Result{}
		for _, v := range verdicts {
			s := Step{Verdict: v}
			if v == "" {
				s.Build = "no"
			}
			r.Steps = append(r.Steps, s)
		}
		return r
	}
	for want, all := range map[int][]*Result{
		verdict.ExitPass:      {of(verdict.Pass), of(verdict.Skipped, verdict.Pass)},
		verdict.ExitWrong:     {of(verdict.Pass, verdict.Fail), of("", verdict.Pass), of(verdict.Crash, verdict.Skipped)},
		verdict.ExitNoVerdict: {of(verdict.Skipped), of(verdict.Fail, verdict.Broken), of()},
	} {
		for _, r := range all {
			if got := r.ExitCode(); got != want {
				t.Errorf("%+v: exit code %d, want %d", r.Steps, got, want)
			}
		}
	}
}
