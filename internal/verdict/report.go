package verdict

import (
	"fmt"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/console"
)

// Schema is the version of Report as JSON. A field that is added leaves it; a
// field that changes its meaning or goes raises it.
const Schema = 1

// A Report is all that is known of a run. It is written as report.json into
// the run's directory.
type Report struct {
	Schema  int     `json:"schema"`
	Verdict Verdict `json:"verdict"`
	// Reason is one sentence; empty when the verdict is Pass.
	Reason string `json:"reason,omitempty"`
	// Booted says that PID 1 of the guest has spoken.
	Booted bool `json:"booted"`
	// Uname is "release version machine" as the guest gave it.
	Uname    string    `json:"uname,omitempty"`
	End      End       `json:"end"`
	Programs []Program `json:"programs"`
	// Crashes are the kernel's complaints in the order of the console.
	Crashes []Complaint `json:"crashes,omitempty"`
	// Stuck is what the kernel was doing when a clock ran out.
	Stuck *console.Stuck `json:"stuck,omitempty"`
	// Allow is the run's allowlist.
	Allow []Use `json:"allow,omitempty"`
	// Notes are further remarks, one sentence each: damaged records, a taint
	// that could not be read.
	Notes []string `json:"notes,omitempty"`
	// Guests are the VMs of a run that took several, in their order.
	Guests []Guest `json:"guests,omitempty"`
	// Tail is the end of the console where it explains the verdict: of a guest
	// that did not boot.
	Tail string `json:"tail,omitempty"`
	Run  Run    `json:"run"`
}

// A Program is the judged result of one planned program.
type Program struct {
	ID      string  `json:"id"`
	Arg     string  `json:"arg,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Protocol is how the program told of its tests.
	Protocol Protocol `json:"protocol,omitempty"`
	// Reason is one line; empty when the verdict is Pass.
	Reason string `json:"reason,omitempty"`
	// Reached says that the program was started.
	Reached bool `json:"reached"`
	// Flaky says that it failed, and passed when it was run again.
	Flaky bool `json:"flaky,omitempty"`
	// Elapsed is the guest's time from start to exit.
	Elapsed time.Duration `json:"elapsed_ns"`
	Tests   []Test        `json:"tests,omitempty"`
	// Console is the log of the guest that ran it first; empty for Run.Console.
	Console string `json:"console,omitempty"`
	// Exit is how the program ended; nil when it did not, or was not reached.
	Exit *Exit `json:"exit,omitempty"`
	// Output is the end of what a program wrote outside of its tests, at most
	// MaxOutput bytes; of a program that passed it is empty.
	Output string `json:"output,omitempty"`
}

// A Protocol is how a program tells of its tests.
type Protocol string

// The protocols.
const (
	ByExit Protocol = ""     // not at all: its exit code is its result
	ByGo   Protocol = "go"   // as the testing package does
	ByKTAP Protocol = "ktap" // as kselftests and KUnit do
)

// An Exit is how a program ended.
type Exit struct {
	Code     int   `json:"code"`
	Signal   int   `json:"signal,omitempty"`
	TimedOut bool  `json:"timed_out,omitempty"`
	Left     int   `json:"left,omitempty"`  // processes that survived SIGKILL
	Taint    int64 `json:"taint,omitempty"` // -1 when it could not be read
}

// A Test is the judged result of one test of a program; subtests have a test
// of their own, "TestRead/mmap".
type Test struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Reason is one line; empty when the verdict is Pass.
	Reason string `json:"reason,omitempty"`
	// Reached says that the test was started.
	Reached bool `json:"reached"`
	// Open says that it was started and never ended.
	Open bool `json:"open,omitempty"`
	// Runs counts results, more than 1 with -count; Failed those that were
	// failures.
	Runs   int `json:"runs,omitempty"`
	Failed int `json:"failed,omitempty"`
	// Flaky says that some failed and some did not.
	Flaky   bool          `json:"flaky,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
	// Output is the end of what the test wrote, at most MaxOutput bytes; of a
	// test that passed it is empty.
	Output string `json:"output,omitempty"`
}

// MaxOutput bounds the Output of a Program or Test, in bytes.
const MaxOutput = 8 << 10

// A Complaint is a crash charged to the test that was running.
type Complaint struct {
	console.Crash
	Program string `json:"program,omitempty"` // ID; empty for a complaint before the first
	Test    string `json:"test,omitempty"`
	// Allowed is the entry of the allowlist that covers it; then it makes no
	// verdict worse.
	Allowed *Allowed `json:"allowed,omitempty"`
	// Console is the log its lines are of; empty for Run.Console.
	Console string `json:"console,omitempty"`
}

// End is how the VM ended.
type End string

// The ends.
const (
	EndNone     End = "none" // not known, or there was no VM
	EndPowerOff End = "power-off"
	EndReset    End = "reset"     // the guest asked for a reset, or a panic made it
	EndPanicked End = "panicked"  // the guest's panic device said so
	EndSilence  End = "silence"   // neither console nor records moved for too long
	EndDeadline End = "deadline"  // the whole run took too long
	EndKilled   End = "killed"    // runvm was told to stop
	EndQEMUExit End = "qemu-exit" // QEMU ended without a word of the guest
)

// Run is what the conductor knows of a run without judging it.
type Run struct {
	ID      string    `json:"id,omitempty"`  // name of the run's directory
	Dir     string    `json:"dir,omitempty"` // where everything is kept
	Console string    `json:"console,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Again is the command without -run and programs: "runvm test -kernel 6.12".
	Again []string `json:"again,omitempty"`
	// Core are the commands that read the guest's memory, where it was kept.
	Core    []string `json:"core,omitempty"`
	Kernel  Kernel   `json:"kernel"`
	Machine Machine  `json:"machine"`
	Stages  []Stage  `json:"stages,omitempty"`
}

// A Kernel is the image a run booted.
type Kernel struct {
	Name    string    `json:"name,omitempty"` // of the source, for people
	Version string    `json:"version,omitempty"`
	Key     string    `json:"key,omitempty"`
	Profile string    `json:"profile,omitempty"`
	Base    string    `json:"base,omitempty"`    // how the source was found, where the user did not name it
	Patches []string  `json:"patches,omitempty"` // names of the series
	Tree    string    `json:"tree,omitempty"`    // git tree that was built; empty for a ready image
	Applied []Patch   `json:"applied,omitempty"` // what the series hold, in order
	Image   string    `json:"image,omitempty"`   // path
	Built   time.Time `json:"built,omitzero"`
}

// A Patch is one that is in the tree a kernel was built from.
type Patch struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"`
	Digest  string `json:"digest"` // SHA-256 of the file, or of the mail in an mbox, in hex
	// Offset is how many lines at most a hunk stands away from where the patch
	// has it, Fuzz how many lines of its context differ.
	Offset int `json:"offset,omitempty"`
	Fuzz   int `json:"fuzz,omitempty"`
	// NotCompiled are the lines it wrote that are in no object of the kernel:
	// the run has not tested them.
	NotCompiled []Gap `json:"not_compiled,omitempty"`
}

// A Gap is a part of a file that was not compiled.
type Gap struct {
	File string `json:"file"`
	// First and Last are lines, from 1; 0 for the whole file.
	First int    `json:"first,omitempty"`
	Last  int    `json:"last,omitempty"`
	Why   string `json:"why"` // "not built", "inside #ifdef CONFIG_X"
	// Symbols are what keeps it out: "CONFIG_X is not set".
	Symbols []string `json:"symbols,omitempty"`
}

// String is "fs/a.c:10-20 is not compiled: inside #ifdef CONFIG_X (CONFIG_X is not set)".
func (g Gap) String() string {
	at := g.File
	switch {
	case g.First > 0 && g.First == g.Last:
		at += fmt.Sprintf(":%d", g.First)
	case g.First > 0:
		at += fmt.Sprintf(":%d-%d", g.First, g.Last)
	}
	s := at + " is not compiled: " + g.Why
	if len(g.Symbols) > 0 {
		s += " (" + strings.Join(g.Symbols, ", ") + ")"
	}
	return s
}

// A Machine is the VM of a run.
type Machine struct {
	Accel         string   `json:"accel,omitempty"` // "kvm" or "tcg"
	AccelWhy      string   `json:"accel_why,omitempty"`
	Command       []string `json:"command,omitempty"` // QEMU with all its arguments
	MemoryMiB     int      `json:"memory_mib,omitempty"`
	CPUs          int      `json:"cpus,omitempty"`
	Deterministic bool     `json:"deterministic,omitempty"`
	Seed          int64    `json:"seed,omitempty"`
}

// A Stage is one timed step of a run: "fetch", "build", "boot".
type Stage struct {
	Name    string        `json:"name"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Note    string        `json:"note,omitempty"` // "cached", "6 of 412 files"
}
