package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

func mailed() *verdict.Report {
	r := &verdict.Report{Verdict: verdict.Crash, Reason: "./t: TestB: WARNING in foo", Uname: "6.12.117 #runvm x86_64"}
	r.Programs = []verdict.Program{{ID: "example.com/t", Arg: "./t", Verdict: verdict.Crash, Reached: true, Tests: []verdict.Test{
		{Name: "TestA", Verdict: verdict.Pass, Reached: true},
		{Name: "TestB", Verdict: verdict.Crash, Reached: true, Reason: "WARNING in foo, which is a reason that needs more than one line of a mail\x1b[2J"},
	}}}
	guilty := console.Frame{Func: "foo", Offset: 5, Size: 48, Source: "fs/a.c:12", Patch: "0002-b.patch"}
	r.Crashes = []verdict.Complaint{{Crash: console.Crash{
		Title: "WARNING in foo", Guilty: guilty,
		Frames: []console.Frame{guilty, {Func: "a_function_with_quite_a_long_name", Offset: 16, Size: 48, Source: "fs/some/where/far/down/the/tree.c:1234"}},
	}}}
	r.Run.Again = []string{"runvm", "test", "-kernel", "6.12", "-patches", "thread.mbox", "-append", "a b"}
	r.Run.Kernel = verdict.Kernel{Name: "linux-source-6.12 6.12.117-1", Profile: "plain", Base: "the newest of 3 sources at hand to which the series applies",
		Applied: []verdict.Patch{{Name: "1", Subject: "fs: one", Offset: 3}, {Name: "2", Subject: "fs: two " + strings.Repeat("ü", 80)}}}
	r.Run.Machine = verdict.Machine{Accel: "tcg", MemoryMiB: 1024, CPUs: 1}
	return r
}

func TestMail(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Mail(&b, Source{Report: mailed()}); err != nil {
		t.Fatal(err)
	}
	want := `verdict  crash: ./t: TestB: WARNING in foo
base     linux-source-6.12 6.12.117-1
         the newest of 3 sources at hand to which the series applies
applied  2 patches, with an offset of up to 3 lines
          1 fs: one
          2 fs: two ` + strings.Repeat("ü", 51) + `…
config   plain
machine  QEMU, tcg, 1024 MiB, 1 CPU
uname    6.12.117 #runvm x86_64

tests    ./t: 1 passed, 1 crashed
  crash TestB: WARNING in foo, which is a reason that needs more than
    one line of a mail

WARNING in foo
  foo+0x5/0x30 fs/a.c:12 (patch 0002-b.patch)  <- here
  a_function_with_quite_a_long_name+0x10/0x30 fs/some/where/far/down/th…

To repeat it:
  runvm test -kernel 6.12 -patches thread.mbox -append 'a b' ./t
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestMailIsNarrowAndPlain(t *testing.T) {
	t.Parallel()
	r := mailed()
	for range 40 {
		r.Programs[0].Tests = append(r.Programs[0].Tests, r.Programs[0].Tests[1])
		r.Crashes = append(r.Crashes, r.Crashes[0])
		r.Run.Kernel.Applied = append(r.Run.Kernel.Applied, r.Run.Kernel.Applied[1])
		r.Run.Again = append(r.Run.Again, "-append", "more")
	}
	r.Crashes[0].Frames, r.Crashes[0].Text = nil, strings.Repeat("a line of the log\x07 that is too long to stand in a mail as it is, so it is cut\n", 100)
	var b strings.Builder
	if err := Mail(&b, Source{Report: r}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 150 {
		t.Errorf("%d lines: too long for a mail", n)
	}
	for l := range strings.Lines(b.String()) {
		l = strings.TrimSuffix(l, "\n")
		if utf8.RuneCountInString(l) > mailWidth || strings.ContainsAny(l, "\t\x1b\x07\r") || l != strings.TrimRight(l, " ") {
			t.Errorf("line %q", l)
		}
	}
	if !strings.Contains(b.String(), " \\\n    ") {
		t.Error("a long command is not continued")
	}
}
