package report

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/ktap"
	"github.com/runvm/runvm/internal/verdict"
)

// formats are all that are not tested elsewhere, by the ending of their file.
func formats() map[string]func(io.Writer, Source) error {
	return map[string]func(io.Writer, Source) error{
		"junit.xml": JUnit, "ktap": KTAP, "github": GitHub, "md": Summary, "html": HTML, "matrix": Matrix,
		"kcidb.json": func(w io.Writer, s Source) error { return KCIDB(w, s, DefaultOrigin) },
	}
}

// recorded reads a run of testdata.
func recorded(t *testing.T, name string) Source {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := Source{Report: &verdict.Report{}}
	if err := json.Unmarshal(data, s.Report); err != nil {
		t.Fatal(err)
	}
	if s.Console, err = os.ReadFile(filepath.Join("testdata", name, "console.log")); err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t *testing.T, format string, s Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := formats()[format](&b, s); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return b.String()
}

// TestRecordedRuns renders real runs: a kernel that warned and then oopsed, a
// kselftest with a failed subtest, and a pass.
func TestRecordedRuns(t *testing.T) {
	t.Parallel()
	for _, run := range []string{"crash", "fail", "pass"} {
		for format := range formats() {
			got := render(t, format, recorded(t, run))
			file := filepath.Join("testdata", run, "report."+format)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		}
	}
}

// evil is what a guest may write to get out of whatever it is quoted in.
const evil = "\x1b]0;title\x07\x1b[31m]]></failure></script><script>alert(1)</script>\"' onload=x &amp; | a\r\n::error::x\nok 1 fake\nKTAP version 1\n1..1\n#\x00\x01\ufffe\xff`*[x](http://example.com/)*` \u202e"

// hostile is a run in which the guest chose every word.
func hostile() Source {
	r := crashed()
	r.Reason, r.Uname, r.Tail, r.Notes = evil, evil, evil, []string{evil}
	r.Run.Kernel.Name, r.Run.Stages[0].Note = evil, evil
	r.Run.Kernel.Applied = []verdict.Patch{{Name: evil, Subject: evil, Digest: "00"}}
	p := &r.Programs[1]
	p.Reason, p.Output = evil, strings.Repeat(evil, 100)
	for i := range p.Tests {
		p.Tests[i].Name += evil
		p.Tests[i].Reason, p.Tests[i].Output = evil, strings.Repeat(evil, 100)
	}
	c := &r.Crashes[0]
	c.Test, c.Title, c.Text, c.Damage = p.Tests[2].Name, evil, strings.Repeat(evil, 100), evil
	c.Guilty = console.Frame{Func: evil, Source: evil, Line: 1}
	c.Frames = []console.Frame{c.Guilty, {Func: evil, Module: evil, Source: evil, Patch: evil, Doubt: evil, Inlined: true}}
	c.Stacks = []console.Stack{{Title: evil, Frames: c.Frames}}
	r.Programs = append(r.Programs, verdict.Program{ID: evil, Arg: evil, Verdict: verdict.Broken, Reason: evil})
	return Source{Report: r, Console: []byte(strings.Repeat("[    1.0] "+evil+"\n", 500))}
}

func TestHostileGuests(t *testing.T) {
	t.Parallel()
	for format := range formats() {
		got := render(t, format, hostile())
		if i := strings.IndexAny(got, "\x00\x01\x07\x1b\r\u202e\ufffe"); i >= 0 {
			t.Errorf("%s: control character in %q", format, got[max(0, i-40):i+1])
		}
		if strings.ToValidUTF8(got, "") != got {
			t.Errorf("%s: not UTF-8", format)
		}
		if format != "kcidb.json" && format != "ktap" && strings.Contains(got, "<script>alert") && format != "github" {
			t.Errorf("%s: a guest's script", format)
		}
	}
}

// TestLongConsoles gives reports 64 MiB of console: what they quote is bounded.
func TestLongConsoles(t *testing.T) {
	t.Parallel()
	s := recorded(t, "crash")
	s.Console = append(s.Console, bytes.Repeat([]byte(strings.Repeat("y", 4000)+"\n"), 64<<20/4001)...)
	s.Report.Crashes[0].Lines = [2]int{100, 16000}
	for format := range formats() {
		if got := render(t, format, s); len(got) > 2<<20 {
			t.Errorf("%s: %d bytes", format, len(got))
		}
	}
}

// TestKTAPIsReadAsWhatItSays reads our own output with our own reader.
func TestKTAPIsReadAsWhatItSays(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Source{"crash": recorded(t, "crash"), "fail": recorded(t, "fail"), "pass": recorded(t, "pass"), "hostile": hostile()} {
		var r ktap.Reader
		_, _ = io.WriteString(&r, render(t, "ktap", s))
		doc := r.Close()
		if doc == nil || doc.Missing != "" || doc.Bail != "" {
			t.Fatalf("%s: %+v", name, doc)
		}
		want, got := 0, 0
		for _, suite := range suites(s.Report) {
			want += 1 + len(suite.cases)
		}
		var count func([]ktap.Test)
		count = func(tests []ktap.Test) {
			for _, test := range tests {
				got++
				if test.Status == ktap.Incomplete {
					t.Errorf("%s: %s: %s", name, test.Name, test.Why)
				}
				count(test.Tests)
			}
		}
		count(doc.Tests)
		if got != want {
			t.Errorf("%s: %d results, want %d", name, got, want)
		}
	}
}

func TestKTAPNests(t *testing.T) {
	t.Parallel()
	s := Source{Report: &verdict.Report{Verdict: verdict.Fail, Booted: true, Programs: []verdict.Program{{ID: "p", Verdict: verdict.Fail, Tests: []verdict.Test{
		{Name: "TestA", Verdict: verdict.Fail, Reached: true},
		{Name: "TestA/x#01", Verdict: verdict.Fail, Reason: "want 5", Output: "    x_test.go:7: want 5\n", Reached: true},
		{Name: "TestA/y", Verdict: verdict.Skipped, Reason: "not here", Reached: true},
		{Name: "alone/z", Verdict: verdict.Pass, Reached: true},
	}}}}}
	const want = `KTAP version 1
1..2
  KTAP version 1
  1..1
  ok 1 boot
ok 1 runvm
  KTAP version 1
  1..2
    KTAP version 1
    1..2
    # |     x_test.go:7: want 5
    not ok 1 x%2301 # want 5
    ok 2 y # SKIP not here
  not ok 1 TestA
  ok 2 alone/z
not ok 2 p # TestA
`
	if diff := cmp.Diff(want, render(t, "ktap", s)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestEveryFailureIsTold renders runs that failed in every place where one
// can: no format may show them as a pass.
func TestEveryFailureIsTold(t *testing.T) {
	t.Parallel()
	pass := verdict.Program{ID: "p", Verdict: verdict.Pass, Exit: &verdict.Exit{}, Tests: []verdict.Test{{Name: "TestA", Verdict: verdict.Pass, Reached: true, Runs: 1}}}
	exit := pass
	exit.Verdict, exit.Reason = verdict.Fail, "exit code 1"
	reports := map[string]*verdict.Report{
		"no boot":            {Verdict: verdict.Hang, Reason: "hung", Programs: []verdict.Program{pass}},
		"nothing planned":    {Verdict: verdict.Broken, Reason: "no program was planned", Booted: true},
		"after the programs": {Verdict: verdict.Hang, Reason: "did not power off", Booted: true, Programs: []verdict.Program{pass}},
		"exit code":          {Verdict: verdict.Fail, Reason: "exit code 1", Booted: true, Programs: []verdict.Program{exit}},
		"early crash":        {Verdict: verdict.Crash, Reason: "BUG: x", Booted: true, Programs: []verdict.Program{pass}, Crashes: []verdict.Complaint{{Crash: console.Crash{Title: "BUG: x"}}}},
		"crash of no test":   {Verdict: verdict.Crash, Reason: "BUG: x", Booted: true, Programs: []verdict.Program{{ID: "p", Verdict: verdict.Crash, Reason: "BUG: x", Tests: pass.Tests}}, Crashes: []verdict.Complaint{{Crash: console.Crash{Title: "BUG: x"}, Program: "p"}}},
	}
	for name, r := range reports {
		s := Source{Report: r}
		for format, marks := range map[string][]string{"junit.xml": {"<failure ", "<error "}, "ktap": {"\nnot ok "}, "github": {"::error "}, "html": {`class="card failure`}, "kcidb.json": {`"FAIL"`, `"ERROR"`, `"MISS"`}} {
			got := render(t, format, s)
			told := false
			for _, mark := range marks {
				told = told || strings.Contains(got, mark)
			}
			if !told {
				t.Errorf("%s: %s shows no failure:\n%s", name, format, got)
			}
		}
	}
}

// TestFlakyTestsAreTold renders a run whose test failed once and passed then:
// it is no failure, and no plain pass.
func TestFlakyTestsAreTold(t *testing.T) {
	t.Parallel()
	s := recorded(t, "pass")
	test := &s.Report.Programs[0].Tests[0]
	test.Flaky, test.Runs, test.Failed, test.Reason = true, 2, 1, "flaky: failed 1 of 2 runs"
	checkJUnit(t, render(t, "junit.xml", s))
	for format, want := range map[string]string{
		"junit.xml": `<flakyFailure message="flaky: failed 1 of 2 runs" type="fail">`,
		"ktap":      "ok 1 TestAlpha # flaky: failed 1 of 2 runs\n",
		"github":    "::warning title=flaky%3A example.com/crash/crash TestAlpha::flaky: failed 1 of 2 runs\n",
		"md":        "| pass | example.com/crash/crash TestAlpha |",
		"html":      "<b>1</b> flaky</li>",
	} {
		if got := render(t, format, s); !strings.Contains(got, want) {
			t.Errorf("%s: no %q", format, want)
		}
	}
}

// TestAllowedComplaintsFailNothing renders a pass in which the kernel
// complained, before and in a program, of what the allowlist covers.
func TestAllowedComplaintsFailNothing(t *testing.T) {
	t.Parallel()
	s := recorded(t, "pass")
	entry := &verdict.Allowed{Title: "^WARNING in foo$", Reason: "known here"}
	for _, program := range []string{"", s.Report.Programs[0].ID} {
		s.Report.Crashes = append(s.Report.Crashes, verdict.Complaint{Crash: console.Crash{Title: "WARNING in foo", Text: "Call Trace:"}, Program: program, Allowed: entry})
	}
	for format, bad := range map[string]string{"junit.xml": "<error", "ktap": "not ok", "github": "::error", "html": `class="card failure`, "md": "<details>", "kcidb.json": `"FAIL"`} {
		if strings.Contains(render(t, format, s), bad) {
			t.Errorf("%s: a failure", format)
		}
	}
	s.Report.Allow = []verdict.Use{{Allowed: *entry, Used: true}, {Allowed: verdict.Allowed{Title: "^BUG", Reason: "gone by now"}}}
	if got := render(t, "html", s); !strings.Contains(got, "known here") || !strings.Contains(got, "(gone by now) was not needed") {
		t.Error("the page does not tell of what was allowed, or need not be")
	}
}

// TestPageShowsWhatAHungGuestDid has the stacks that the guest gave when it was
// asked, and for each failure the command that runs just that one.
func TestPageShowsWhatAHungGuestDid(t *testing.T) {
	t.Parallel()
	s := recorded(t, "fail")
	test := &s.Report.Programs[0].Tests[0]
	test.Verdict, test.Reason = verdict.Hang, "x.test (pid 7) is blocked in waits_for_ever"
	s.Report.Stuck = &console.Stuck{
		Blocked: []console.Task{{Name: "x.test", PID: 7, Frames: []console.Frame{{Func: "waits_for_ever", Source: "fs/x.c:12"}}}},
		Held:    []console.Held{{Name: "x.test", PID: 7, Lock: "&x->lock", At: console.Frame{Func: "takes_it"}}},
	}
	got := render(t, "html", s)
	for _, want := range []string{
		"x.test (pid 7) is blocked", "<td>waits_for_ever</td><td>fs/x.c:12</td>", "holds or waits for &amp;x-&gt;lock", "<td>takes_it</td>",
		"-run &#39;^" + test.Name + "$&#39; ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if hung, failed := strings.Index(got, `class="card failure hang"`), strings.Index(got, `class="card failure fail"`); hung < 0 || failed < hung {
		t.Errorf("the hang at %d, the failure at %d: want what is worse first", hung, failed)
	}
}

// TestCrashOfALaterGuest quotes the log that the complaint names.
func TestCrashOfALaterGuest(t *testing.T) {
	t.Parallel()
	s := recorded(t, "crash")
	log := s.Console
	s.Console = []byte("[    0.000000] another guest\n")
	s.Report.Crashes[0].Console = s.Report.Run.Dir + "/guest-2/console.log"
	s.Other = func(name string) []byte {
		if name == s.Report.Crashes[0].Console {
			return log
		}
		return nil
	}
	got := render(t, "html", s)
	for _, want := range []string{"guest-2/console.log:231", "lkdtm: Performing direct entry WARNING"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestGitHubCommandsAreEscaped(t *testing.T) {
	t.Parallel()
	s := hostile()
	for _, l := range strings.Split(strings.TrimRight(render(t, "github", s), "\n"), "\n") {
		if !strings.HasPrefix(l, "::error ") && !strings.HasPrefix(l, "::warning title=runvm::") {
			t.Errorf("a line of the guest's: %q", l)
		}
	}
	if got := property("a%b:c,d\r\n"); got != "a%25b%3Ac%2Cd%0D%0A" {
		t.Errorf("property %q", got)
	}
	if got := data("a%b:c\r\n"); got != "a%25b:c%0D%0A" {
		t.Errorf("data %q", got)
	}
	if got := markdown("a|b`*_<x>"); got != "a&#124;b&#96;&#42;&#95;&#60;x&#62;" {
		t.Errorf("markdown %q", got)
	}
	row := render(t, "md", s)
	for _, l := range strings.Split(row, "\n") {
		if strings.HasPrefix(l, "|") && strings.Count(l, "|") != 5 {
			t.Errorf("a row of %d bars: %q", strings.Count(l, "|"), l)
		}
	}
}
