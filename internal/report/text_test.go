package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite testdata")

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// crashed is the report of a run with one package that passed and one whose
// second test made the kernel complain.
func crashed() *verdict.Report {
	crash := console.Crash{
		Kind: console.KASANUseAfterFreeRead, Title: "KASAN: slab-use-after-free Read in fuse_copy_page",
		Guilty: console.Frame{Func: "fuse_copy_page", Source: "fs/fuse/dev.c:902"}, Lines: [2]int{412, 440},
	}
	return &verdict.Report{
		Schema: verdict.Schema, Verdict: verdict.Crash, Reason: "example.com/fuse: TestAbort: " + crash.Title, Booted: true,
		End: verdict.EndReset,
		Programs: []verdict.Program{
			{ID: "example.com/smoke", Arg: "./smoke", Verdict: verdict.Pass, Elapsed: 40 * time.Millisecond, Tests: []verdict.Test{
				{Name: "TestBoot", Verdict: verdict.Pass, Reached: true}, {Name: "TestClock", Verdict: verdict.Skipped, Reached: true},
			}},
			{ID: "example.com/fuse", Arg: "./fuse", Verdict: verdict.Crash, Reason: "TestAbort: " + crash.Title, Elapsed: 4100 * time.Millisecond, Tests: []verdict.Test{
				{Name: "TestRead", Verdict: verdict.Pass, Reached: true},
				{Name: "TestAbort", Verdict: verdict.Crash, Reason: crash.Title, Reached: true},
				{Name: "TestAbort/claimed", Verdict: verdict.Crash, Reason: crash.Title, Reached: true},
				{Name: "TestHole", Verdict: verdict.Incomplete, Reason: "not reached"},
			}},
		},
		Crashes: []verdict.Complaint{{Crash: crash, Program: "example.com/fuse", Test: "TestAbort/claimed"}},
		Run: verdict.Run{
			Dir: "runs/1", Console: "runs/1/console.log", Again: []string{"runvm", "test", "-kernel", "6.12", "-patches", "patches/linux 6.12"},
			Kernel:  verdict.Kernel{Name: "linux-source-6.12 6.12.117-1", Version: "6.12.117", Key: "9f31c2a4be07aa", Profile: "plain", Patches: []string{"rsplice"}, Built: now.Add(-3 * time.Hour)},
			Machine: verdict.Machine{Accel: "tcg", AccelWhy: "/dev/kvm ran no guest code in 2 s"},
			Stages:  []verdict.Stage{{Name: "build", Elapsed: 12 * time.Millisecond, Note: "cached"}, {Name: "boot", Elapsed: 4300 * time.Millisecond}},
		},
	}
}

// failed is the report of a program that is not a Go test and of one with
// several failures.
func failed() *verdict.Report {
	r := crashed()
	r.Verdict, r.Reason, r.Crashes = verdict.Fail, "bad.sh: exit code 3", nil
	r.Programs = []verdict.Program{
		{ID: "bad.sh", Arg: "bad.sh", Verdict: verdict.Fail, Reason: "exit code 3", Elapsed: time.Second, Output: "one\n\x1b[31mwrong\x1b[0m on purpose\n"},
		{ID: "example.com/sum", Arg: "./sum", Verdict: verdict.Fail, Reason: "TestA: want 5", Elapsed: 200 * time.Millisecond, Tests: []verdict.Test{
			{Name: "TestA", Verdict: verdict.Fail, Reason: "want 5", Reached: true},
			{Name: "TestB", Verdict: verdict.Fail, Reached: true},
			{Name: "TestB/x", Verdict: verdict.Fail, Reason: "want 6", Reached: true},
		}},
	}
	return r
}

// silent is the report of a guest that did not boot.
func silent() *verdict.Report {
	r := crashed()
	r.Verdict, r.Reason, r.Crashes, r.Booted = verdict.Hang, "the kernel hung before it started init: nothing for 30s", nil, false
	r.Programs = []verdict.Program{{ID: "example.com/smoke", Arg: "./smoke", Verdict: verdict.Incomplete, Reason: "not reached", Tests: []verdict.Test{
		{Name: "TestBoot", Verdict: verdict.Incomplete, Reason: "not reached"},
	}}}
	r.Notes, r.Tail = []string{"2 damaged records"}, "[    0.1] Linux version\n[    0.2] and then nothing"
	return r
}

func TestText(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*verdict.Report{"crashed": crashed(), "failed": failed(), "silent": silent()} {
		var got bytes.Buffer
		if err := Text(&got, r, Options{Now: now}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTextIsSafeToPrint(t *testing.T) {
	t.Parallel()
	r := crashed()
	r.Programs[1].Tests[2].Reason = "\x1b]0;title\x07\r" + strings.Repeat("x", 10_000) + "\nsecond line"
	r.Tail = "\x1b[2J\x00"
	var got bytes.Buffer
	if err := Text(&got, r, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(got.String(), "\n") {
		if strings.ContainsAny(line, "\x1b\x07\r\x00") || len(line) > 3*maxLine {
			t.Errorf("unsafe line of %d bytes: %q", len(line), line[:min(len(line), 80)])
		}
	}
}

func TestColourOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	for _, colour := range []bool{false, true} {
		var got bytes.Buffer
		if err := Text(&got, crashed(), Options{Colour: colour}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.String(), "\x1b[") != colour {
			t.Errorf("colour %v: %q", colour, got.String())
		}
	}
}

func TestJSONKeepsTheReport(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := JSON(&b, crashed()); err != nil {
		t.Fatal(err)
	}
	var got verdict.Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(crashed(), &got); diff != "" {
		t.Error(diff)
	}
}

func TestAgainNamesWhatWentWrong(t *testing.T) {
	t.Parallel()
	r := failed()
	if got := Again(r, &r.Programs[1]); !cmp.Equal(got[len(got)-3:], []string{"-run", "^(TestA|TestB)$", "./sum"}) {
		t.Errorf("got %q", got)
	}
	r.Run.Again = nil
	if got := Again(r, &r.Programs[1]); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestAgainChoosesTestsOfKUnit(t *testing.T) {
	t.Parallel()
	fails := func(names ...string) []verdict.Test {
		var all []verdict.Test
		for _, n := range names {
			all = append(all, verdict.Test{Name: n, Verdict: verdict.Fail, Reached: true})
		}
		return all
	}
	for want, tests := range map[string][]verdict.Test{
		"list.adds": fails("list", "list/adds"), "list": fails("list", "list/adds", "list/takes"),
		"list.of?all": fails("list", "list/of all", "list/of all/one"), "*": fails("list/adds", "other/b"),
	} {
		r := failed()
		p := &verdict.Program{ID: verdict.KernelLog, Verdict: verdict.Fail, Tests: tests}
		if got := Again(r, p); !cmp.Equal(got[len(got)-2:], []string{"-kunit", want}) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}

func TestSuitesAreNotCounted(t *testing.T) {
	t.Parallel()
	tests := []verdict.Test{
		{Name: "a", Verdict: verdict.Fail, Reached: true}, {Name: "a/x", Verdict: verdict.Pass, Reached: true}, {Name: "a/y", Verdict: verdict.Fail, Reached: true},
		{Name: "ab", Verdict: verdict.Pass, Reached: true},
		{Name: "c", Verdict: verdict.Crash, Reached: true}, {Name: "c/x", Verdict: verdict.Pass, Reached: true},
	}
	for protocol, want := range map[verdict.Protocol]string{verdict.ByKTAP: "3 passed, 1 failed, 1 crashed", verdict.ByGo: "1 passed, 1 failed, 1 crashed"} {
		if got := counts(&verdict.Program{Protocol: protocol, Tests: tests}); got != want {
			t.Errorf("%s: %s, want %s", protocol, got, want)
		}
	}
}
