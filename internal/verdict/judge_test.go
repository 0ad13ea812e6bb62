package verdict

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/wire"
)

const id = "example.com/fuse"

// plan is one Go package with the tests A, B and C.
func plan(tests ...string) []Planned {
	if tests == nil {
		tests = []string{"TestA", "TestB", "TestC"}
	}
	return []Planned{{ID: id, Arg: "./fuse", Go: true, Tests: tests}}
}

var hello = wire.Record{Type: wire.Hello, Version: wire.Version, Uname: "6.12.1 #1 SMP runvm 9f31c2a4be07 x86_64"}

// records are a guest's: hello, start, output and whatever follows.
func records(output string, rest ...wire.Record) []wire.Record {
	r := []wire.Record{hello, {Type: wire.Start, ID: id, Time: 1e9}}
	if output != "" {
		r = append(r, wire.Record{Type: wire.Out, ID: id, Stream: 1, Time: 2e9, Text: output})
	}
	return append(r, rest...)
}

func exit(code int) wire.Record { return wire.Record{Type: wire.Exit, ID: id, Time: 3e9, Code: code} }

var done = wire.Record{Type: wire.Done, Time: 4e9}

// ran is the output of tests: "A+" passed, "A-" failed, "A~" skipped itself,
// "A?" never ended.
func ran(tests ...string) string {
	words := map[byte]string{'+': "PASS", '-': "FAIL", '~': "SKIP"}
	var b strings.Builder
	for _, t := range tests {
		name, end := "Test"+t[:len(t)-1], t[len(t)-1]
		fmt.Fprintf(&b, "\x16=== RUN   %s\n", name)
		if end == '-' {
			fmt.Fprintf(&b, "    x_test.go:1: %s is wrong\n", name)
		}
		if w := words[end]; w != "" {
			fmt.Fprintf(&b, "\x16--- %s: %s (0.10s)\n", w, name)
		}
	}
	return b.String()
}

const booted = "[    0.000000] Linux version 6.12.1\n[    0.500000] Run /init as init process\n"

func marked(test string) string {
	return "[    0.9] x\n[    1.000000] runvm: test " + id + "\n[    1.100000] runvm: === RUN Test" + test + "\n"
}

const warning = `[    1.200000] ------------[ cut here ]------------
[    1.200001] WARNING: CPU: 0 PID: 1 at fs/fuse/dev.c:902 fuse_copy_page+0x1/0x2
[    1.200002] RIP: 0010:fuse_copy_page+0x1/0x2
[    1.200002] Call Trace:
[    1.200003]  fuse_dev_read+0x3/0x4
[    1.200004]  vfs_read+0x3/0x4
[    1.200005] ---[ end trace 0000000000000000 ]---
`

const panicked = "[    0.700000] Kernel panic - not syncing: No working init found.  Try passing init= option to kernel.\n[    0.700001] Call Trace:\n[    0.700002]  panic+0x1/0x2\n[    0.700003]  kernel_init+0x1/0x2\n"

// all tests passed and the guest powered itself off
func good() In {
	return In{
		Plan: plan(), Records: records(ran("A+", "B+", "C+"), exit(0), done),
		Console: []byte(booted + marked("A")), End: EndPowerOff,
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(in *In)
		want   Verdict
		code   int
		reason string // part of it
	}{
		{"all passed", func(*In) {}, Pass, 0, ""},
		{"one failed", func(in *In) { in.Records = records(ran("A+", "B-", "C+"), exit(1), done) }, Fail, 1, "TestB: x_test.go:1: TestB is wrong"},
		{"some skipped", func(in *In) { in.Records = records(ran("A+", "B~", "C~"), exit(0), done) }, Pass, 0, ""},
		{"all skipped", func(in *In) { in.Records = records(ran("A~", "B~", "C~"), exit(0), done) }, Skipped, 125, "nothing ran"},
		{"warning under passing tests", func(in *In) { in.Console = []byte(booted + marked("B") + warning) }, Crash, 1, "TestB: WARNING in fuse_copy_page"},
		{"silence in a test", func(in *In) { in.Records, in.End, in.EndNote = records(ran("A+", "B?")), EndSilence, "nothing for 30s" }, Hang, 1, "TestB: the guest went silent: nothing for 30s"},
		{"silence at power-off", func(in *In) { in.End = EndSilence }, Hang, 1, "did not power off"},
		{"deadline", func(in *In) { in.Records, in.End = records(ran("A+", "B?")), EndDeadline }, Hang, 1, "took too long"},
		{"timed out in the guest", func(in *In) {
			in.Records = records(ran("A+", "B?"), wire.Record{Type: wire.Exit, ID: id, Time: 9e9, Signal: 9, TimedOut: true}, done)
		}, Hang, 1, "did not end within its time"},
		{"left in state D", func(in *In) {
			in.Records = records(ran("A+", "B+", "C+"), wire.Record{Type: wire.Exit, ID: id, Left: 2}, done)
		}, Hang, 1, "2 processes survived SIGKILL"},
		{"a test without a result", func(in *In) { in.Records = records(ran("A+", "C+"), exit(0), done) }, Incomplete, 1, "TestB: not reached"},
		{"a test without an end", func(in *In) { in.Records = records(ran("A+", "B+", "C?"), exit(0), done) }, Incomplete, 1, "TestC: started and never ended"},
		{"no done record", func(in *In) { in.Records = records(ran("A+", "B+", "C+"), exit(0)) }, Incomplete, 1, "before its plan was done"},
		{"no exit record", func(in *In) { in.Records = records(ran("A+", "B+", "C+"), done) }, Incomplete, 1, "started and never ended"},
		{"program not reached", func(in *In) { in.Records = []wire.Record{hello, done} }, Incomplete, 1, "not reached"},
		{"fewer runs than -count", func(in *In) { in.Plan[0].Count = 2 }, Incomplete, 1, "1 result of 2 runs"},
		{"damaged records", func(in *In) { in.BadRecords = 3 }, Incomplete, 1, "3 damaged records"},
		{"exit code without a failed test", func(in *In) { in.Records = records(ran("A+", "B+", "C+"), exit(2), done) }, Fail, 1, "exit code 2"},
		{"killed by a signal", func(in *In) {
			in.Records = records(ran("A+", "B+", "C+"), wire.Record{Type: wire.Exit, ID: id, Signal: 11}, done)
		}, Fail, 1, "signal 11"},
		{"no plan", func(in *In) { in.Plan = nil }, Broken, 125, "no program was planned"},
		{"init in trouble", func(in *In) { in.Records = append(in.Records, wire.Record{Type: wire.Error, Text: "mount /proc: no"}) }, Broken, 125, "mount /proc: no"},
		{"init could not start the program", func(in *In) {
			in.Records = []wire.Record{hello, {Type: wire.Error, ID: id, Text: "start: no such file"}, done}
		}, Broken, 125, "start: no such file"},
		{"another version of the protocol", func(in *In) { in.Records[0].Version = 99 }, Broken, 125, "version 99"},
		{"another kernel", func(in *In) { in.Run.Kernel.Key = "000000000000" }, Broken, 125, "another kernel than 000000000000"},
		{"the kernel that was built", func(in *In) { in.Run.Kernel.Key = "9f31c2a4be07" }, Pass, 0, ""},
		{"silent taint", func(in *In) { in.Records[3].Taint = 1 << 9 }, Crash, 1, "tainted (W: warned)"},
		{"taint from before", func(in *In) { in.Records[0].Taint, in.Records[3].Taint = 1<<9, 1<<9 }, Pass, 0, ""},
		{"harmless taint", func(in *In) { in.Records[3].Taint = 1 << 12 }, Pass, 0, ""},
		{"unreadable taint", func(in *In) { in.Records[3].Taint = -1 }, Incomplete, 1, "taint could not be read"},
		{"reset without a word", func(in *In) { in.Records, in.End = records(ran("A+", "B?")), EndReset }, Crash, 1, "TestB: unexpected reset"},
		{"panic device without a word", func(in *In) { in.Records, in.End = records(ran("A+", "B?")), EndPanicked }, Crash, 1, "TestB: kernel panic"},
		{"stopped by the user", func(in *In) { in.Records, in.End = records(ran("A+", "B?")), EndKilled }, Broken, 125, "runvm was stopped"},
		{"QEMU gone", func(in *In) { in.Records, in.End, in.EndNote = records(ran("A+", "B?")), EndQEMUExit, "out of memory" }, Broken, 125, "QEMU ended by itself: out of memory"},
		{"a crash before the user stopped it", func(in *In) {
			in.Records, in.End, in.Console = records(ran("A+", "B?")), EndKilled, []byte(booted+marked("B")+warning)
		}, Crash, 1, "WARNING in fuse_copy_page"},
		{"nothing printed", func(in *In) { in.Records, in.Console, in.End = nil, nil, EndSilence }, Broken, 125, "printed nothing"},
		{"panic before init", func(in *In) { in.Records, in.Console, in.End = nil, []byte(booted+panicked), EndReset }, Crash, 125, "died before it started init: kernel panic: No working init found"},
		{"hang before init", func(in *In) { in.Records, in.Console, in.End = nil, []byte(booted), EndSilence }, Hang, 125, "hung before it started init"},
		{"powered off in a test", func(in *In) { in.Records, in.EndNote = records(ran("A+", "B?")), "the guest powered off" }, Incomplete, 1, "fuse: TestB: the guest powered off before its plan was done"},
		{"gone before init", func(in *In) { in.Records, in.Console, in.End = nil, []byte(booted), EndPowerOff }, Broken, 125, "before its init started"},
		{"stopped before init", func(in *In) { in.Records, in.End = nil, EndKilled }, Broken, 125, "stopped before"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := good()
			test.change(&in)
			r := Judge(in)
			if r.Verdict != test.want || r.ExitCode() != test.code || !strings.Contains(r.Reason, test.reason) {
				t.Errorf("got %s, exit code %d, %q; want %s, %d, %q", r.Verdict, r.ExitCode(), r.Reason, test.want, test.code, test.reason)
			}
			if r.Verdict == Pass && r.Reason != "" {
				t.Errorf("a pass has a reason: %q", r.Reason)
			}
		})
	}
}

func TestCrashIsChargedToTheTestThatRan(t *testing.T) {
	t.Parallel()
	in := good()
	in.Records = records(ran("A+", "B?")+"\x16=== RUN   TestB/sub\n", wire.Record{Type: wire.Out, ID: id})
	in.End = EndPanicked
	for name, log := range map[string]string{
		"by mark":      booted + marked("A") + marked("B/sub") + warning,
		"by open test": booted + warning,
	} {
		in.Console = []byte(log)
		r := Judge(in)
		if len(r.Crashes) != 1 || r.Crashes[0].Program != id || r.Crashes[0].Test != "TestB/sub" {
			t.Fatalf("%s: %+v", name, r.Crashes)
		}
		want := map[string]Verdict{"TestA": Pass, "TestB": Crash, "TestB/sub": Crash, "TestC": Incomplete}
		for _, test := range r.Programs[0].Tests {
			if test.Verdict != want[test.Name] {
				t.Errorf("%s: %s is %s, want %s", name, test.Name, test.Verdict, want[test.Name])
			}
		}
	}
}

func TestCrashBeforeTheFirstProgramIsTheRuns(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + warning + marked("A"))
	r := Judge(in)
	if r.Verdict != Crash || r.Programs[0].Verdict != Pass || r.Crashes[0].Program != "" {
		t.Errorf("got %s, program %s, %+v", r.Verdict, r.Programs[0].Verdict, r.Crashes)
	}
}

func TestProgramIsJudgedByItsExitCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Verdict{0: Pass, 3: Fail} {
		in := good()
		in.Plan = []Planned{{ID: id}}
		in.Records = records("went wrong\n", exit(code), done)
		r := Judge(in)
		if r.Verdict != want {
			t.Errorf("exit code %d: %s, want %s", code, r.Verdict, want)
		}
		if want == Fail && r.Programs[0].Output != "went wrong\n" {
			t.Errorf("output %q", r.Programs[0].Output)
		}
	}
}

// TestBenchmarkWithChildrenHasOneResult: -count repeats those below it.
func TestBenchmarkWithChildrenHasOneResult(t *testing.T) {
	t.Parallel()
	in := good()
	in.Plan = plan("BenchmarkX")
	in.Plan[0].Count = 2
	in.Records = records("\x16=== RUN   BenchmarkX\n\x16=== RUN   BenchmarkX/a\nBenchmarkX/a \t 1\t 1 ns/op\nBenchmarkX/a \t 1\t 1 ns/op\nPASS\n", exit(0), done)
	if r := Judge(in); r.Verdict != Pass {
		t.Errorf("verdict %s, want pass: %+v", r.Verdict, r.Programs)
	}
}

func TestBenchmarksWithoutMessagesPass(t *testing.T) {
	t.Parallel()
	in := good()
	in.Plan = plan("BenchmarkX", "BenchmarkY")
	in.Records = records("\x16=== RUN   BenchmarkX\nBenchmarkX \t 1\t 1 ns/op\n\x16=== RUN   BenchmarkY\nBenchmarkY \t 1\t 1 ns/op\nPASS\n", exit(0), done)
	if r := Judge(in); r.Verdict != Pass {
		t.Errorf("got %s, %s", r.Verdict, r.Reason)
	}
	in.Records = records("\x16=== RUN   BenchmarkX\n\x16=== RUN   BenchmarkY\n", done)
	if r := Judge(in); r.Verdict != Incomplete {
		t.Errorf("a benchmark that never ended: %s", r.Verdict)
	}
}

func TestUnplannedProgramsAreNotBelieved(t *testing.T) {
	t.Parallel()
	in := good()
	for i := range in.Records {
		in.Records[i].ID = strings.Replace(in.Records[i].ID, id, "example.com/other", 1)
	}
	if r := Judge(in); r.Verdict != Incomplete {
		t.Errorf("got %s", r.Verdict)
	}
}

func TestWorstWins(t *testing.T) {
	t.Parallel()
	order := []Verdict{Pass, Skipped, Fail, Incomplete, Hang, Crash, Broken}
	for i, a := range order {
		for j, b := range order {
			if got := Worse(a, b); got != order[max(i, j)] {
				t.Errorf("Worse(%s, %s) = %s", a, b, got)
			}
		}
	}
	if Worse(Pass, "nonsense") == Pass {
		t.Error("an unknown verdict counts as a pass")
	}
}

func TestElapsedIsTheGuests(t *testing.T) {
	t.Parallel()
	if got := Judge(good()).Programs[0].Elapsed; got != 2*time.Second {
		t.Errorf("got %v, want 2s", got)
	}
}

func TestComplaintKeepsItsKind(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + marked("A") + warning)
	c := Judge(in).Crashes[0]
	if c.Kind != console.Warning || c.Guilty.Func != "fuse_copy_page" || c.Lines[0] != 6 {
		t.Errorf("got %s in %s, line %d", c.Kind, c.Guilty.Func, c.Lines[0])
	}
}

// A taint without a message is charged to the test that ran when it came, not
// to the whole program.
func TestTaintIsChargedToTheTestThatRan(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + marked("A") + "[    1.200000] runvm: === RUN TestB\n[    1.300000] runvm: === TAINT 512\n[    1.300000] runvm: === RUN TestC\n")
	in.Records[len(in.Records)-2].Taint = 512
	r := Judge(in)
	if r.Verdict != Crash || len(r.Crashes) != 1 || r.Crashes[0].Test != "TestB" || !strings.Contains(r.Crashes[0].Title, "W: warned") {
		t.Errorf("%s, crashes %+v", r.Verdict, r.Crashes)
	}
	in.Records[0].Taint = 512 // since boot
	if r := Judge(in); r.Verdict != Pass {
		t.Errorf("%s (%s) for a taint of the boot's", r.Verdict, r.Reason)
	}
	in.Records[0].Taint = 0
	in.Console = []byte(booted + marked("A") + warning + "[    1.300000] runvm: === TAINT 512\n[    1.300000] runvm: === RUN TestB\n")
	if r := Judge(in); len(r.Crashes) != 1 || r.Crashes[0].Test != "TestA" || r.Crashes[0].Kind != console.Warning {
		t.Errorf("crashes %+v for a warning that taints", r.Crashes)
	}
	// What has been explained explains nothing that comes later, allowed or not.
	in.Console = append(in.Console, "[    1.400000] runvm: === TAINT 544\n[    1.400000] runvm: === RUN TestC\n"...)
	in.Allow = []Allowed{{Title: "^WARNING in fuse_copy_page$", Reason: "known"}}
	r = Judge(in)
	if r.Verdict != Crash || len(r.Crashes) != 2 || !strings.Contains(r.Reason, "TestB: kernel tainted (B: bad page)") {
		t.Errorf("%s: %s, crashes %+v for a second taint without a message", r.Verdict, r.Reason, r.Crashes)
	}
}

// Tests that run in parallel wait for each other: one that was not on its turn
// when the guest died has not begun, and the crash is not its.
func TestParallelTestsThatWaited(t *testing.T) {
	t.Parallel()
	in := good()
	const out = "\x16=== RUN   TestA\n\x16=== PAUSE TestA\n\x16=== RUN   TestB\n\x16=== PAUSE TestB\n\x16=== CONT  TestA\n"
	in.Records, in.End = records(out), EndReset
	in.Console = []byte(booted + warning)
	r := Judge(in)
	want := map[string]Verdict{"TestA": Crash, "TestB": Incomplete, "TestC": Incomplete}
	for _, test := range r.Programs[0].Tests {
		if test.Verdict != want[test.Name] || test.Open != (test.Name == "TestA") {
			t.Errorf("%s: %s (%s), open %v", test.Name, test.Verdict, test.Reason, test.Open)
		}
	}
	// Another guest runs them: here they are not missing.
	in.Plan = []Planned{{ID: id, Go: true, Tests: []string{"TestA"}, Skipped: []string{"TestB", "TestC"}}}
	if r := Judge(in); len(r.Programs[0].Tests) != 1 {
		t.Errorf("%+v", r.Programs[0].Tests)
	}
}

// The kernel log holds the mark of a test before PID 1 sends the record of its
// start, which never comes when the test stops the machine at once.
func TestStartThatOnlyTheConsoleTells(t *testing.T) {
	t.Parallel()
	in := good()
	in.Records, in.End = records(ran("A+")), EndSilence
	in.Console = []byte(booted + marked("A"))
	if r := Judge(in); r.Verdict != Hang || r.Programs[0].Tests[1].Reached {
		t.Errorf("%s: %s, tests %+v without a mark", r.Verdict, r.Reason, r.Programs[0].Tests)
	}
	in.Console = append(in.Console, "[    1.200000] runvm: === RUN TestB\n"...)
	r := Judge(in)
	want := map[string]Verdict{"TestA": Pass, "TestB": Hang, "TestC": Incomplete}
	for _, test := range r.Programs[0].Tests {
		if test.Verdict != want[test.Name] || test.Open != (test.Name == "TestB") {
			t.Errorf("%s: %s (%s), open %v", test.Name, test.Verdict, test.Reason, test.Open)
		}
	}
	if !strings.Contains(r.Reason, "TestB: the guest went silent") {
		t.Error(r.Reason)
	}
	// Of a program that ended the records are all there.
	in.Records, in.End = records(ran("A+", "C+"), exit(0), done), EndPowerOff
	if r := Judge(in); r.Programs[0].Tests[2].Reached { // those without records come last
		t.Errorf("tests %+v of a program that ended", r.Programs[0].Tests)
	}
}

const leakCount = "[    1.200000] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n"
const leak = `[    1.300000] BUG: memory leak
[    1.300000] unreferenced object 0xffff888005a0c000 (size 1024):
[    1.300000]   comm "crash.test", pid 60, jiffies 4294893000
[    1.300000]   hex dump (first 32 bytes):
[    1.300000]     00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
[    1.300000]   backtrace (crc 0):
[    1.300000]     [<ffffffff81e0b6f5>] kmemleak_alloc+0x45/0x80
[    1.300000]     [<ffffffff8134b6f5>] __kmalloc_noprof+0x2c5/0x370
[    1.300000]     [<ffffffff8178b6f5>] lkdtm_MEMORY_LEAK+0x35/0x60
[    1.300000]     [<ffffffff8178a6f5>] lkdtm_do_action+0x25/0x40
`

// A leak that is told in full is not told twice.
func TestLeakIsToldOnce(t *testing.T) {
	t.Parallel()
	in := good()
	in.Console = []byte(booted + marked("A") + "[    1.100000] runvm: test " + id + "\n" + leakCount + leak)
	r := Judge(in)
	if len(r.Crashes) != 1 || r.Crashes[0].Test != "" || r.Crashes[0].Title != "memory leak in lkdtm_MEMORY_LEAK" {
		t.Errorf("crashes %+v", r.Crashes)
	}
	in.Console = []byte(booted + marked("A") + leakCount)
	if r := Judge(in); r.Verdict != Crash || len(r.Crashes) != 1 {
		t.Errorf("%s, crashes %+v of a leak without a stack", r.Verdict, r.Crashes)
	}
}

func TestAllowedComplaintsDoNotCount(t *testing.T) {
	t.Parallel()
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	in := good()
	in.Console = append(in.Console, warning...)
	in.Records[len(in.Records)-2].Taint = 512
	in.Run.Started = day("2026-05-31").Add(23 * time.Hour)
	entry := Allowed{Title: "^WARNING in fuse_copy_page$", Reason: "known"}
	for name, c := range map[string]struct {
		allow []Allowed
		want  Verdict
		note  string
	}{
		"none":     {nil, Crash, ""},
		"covered":  {[]Allowed{entry}, Pass, ""},
		"another":  {[]Allowed{{Title: "^BUG", Reason: "known"}}, Crash, "was not needed"},
		"last day": {[]Allowed{{Title: "WARNING", Reason: "known", Until: day("2026-05-31")}}, Pass, ""},
		"expired":  {[]Allowed{{Title: "WARNING", Reason: "known", Until: day("2026-05-30")}}, Crash, "expired on 2026-05-30"},
		"two":      {[]Allowed{entry, entry}, Pass, ""},
		"bad":      {[]Allowed{{Title: "(", Reason: "known"}}, Broken, ""},
	} {
		in.Allow = c.allow
		r := Judge(in)
		var notes []string
		for i := range r.Allow {
			notes = append(notes, r.Allow[i].Note())
		}
		if got := strings.Join(notes, ""); r.Verdict != c.want || !strings.Contains(got, c.note) || c.note == "" && got != "" {
			t.Errorf("%s: %s (%s), notes %q", name, r.Verdict, r.Reason, notes)
		}
		if len(r.Crashes) != 1 {
			t.Errorf("%s: %d complaints in the report", name, len(r.Crashes))
		}
	}
	// A guest that dies of what is allowed has not run its tests.
	in.Allow, in.End, in.Records = []Allowed{entry}, EndReset, records(ran("A+", "B?"))
	if r := Judge(in); r.Verdict != Incomplete {
		t.Errorf("%s (%s)", r.Verdict, r.Reason)
	}
}

// A process that was killed for memory explains what did not end.
func TestFullMemoryIsNamed(t *testing.T) {
	t.Parallel()
	in := good()
	in.Records = records(ran("A?"), wire.Record{Type: wire.Exit, ID: id, Code: 137, Signal: 9}, done)
	in.Plan = plan("TestA")
	in.Run.Machine.MemoryMiB = 256
	in.Console = append(in.Console, "[    1.200000] fuse.test invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0\n[    1.300000] Out of memory: Killed process 37 (fuse.test) total-vm:1kB, anon-rss:1kB\n"...)
	r := Judge(in)
	want := "the guest's memory of 256 MiB was full: the kernel killed fuse.test (-memory gives it more)"
	if r.Verdict != Incomplete || r.Programs[0].Tests[0].Reason != want || r.Reason != id+": TestA: "+want {
		t.Errorf("%s (%s), test %+v", r.Verdict, r.Reason, r.Programs[0].Tests[0])
	}
	good := good()
	good.Console = in.Console
	if r := Judge(good); r.Verdict != Pass {
		t.Errorf("%s (%s) where the tests passed", r.Verdict, r.Reason)
	}
	good.Cut = true
	if r := Judge(good); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "flooded") {
		t.Errorf("notes %q of a flood", r.Notes)
	}
}
