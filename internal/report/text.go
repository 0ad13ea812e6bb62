// Package report shows a verdict.Report to people and machines.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
)

// Options say how Text shows a report.
type Options struct {
	// Colour marks verdicts with the terminal's colours.
	Colour bool
	// Now is what the kernel's age is measured from; zero leaves the age out.
	Now time.Time
}

// JSON writes r indented, as report.json.
func JSON(w io.Writer, r *verdict.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes a block for each program, what concerns the run as a whole, and
// where everything is. Every line is safe to print: what the guest wrote is
// stripped of control characters.
func Text(w io.Writer, r *verdict.Report, opt Options) error {
	t := &text{report: r, opt: opt}
	for i := range r.Programs {
		t.program(&r.Programs[i])
	}
	t.whole()
	t.foot()
	_, err := io.WriteString(w, t.b.String())
	return err
}

type text struct {
	b      strings.Builder
	report *verdict.Report
	opt    Options
}

func (t *text) line(format string, args ...any) {
	t.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

// program writes the block of one program.
func (t *text) program(p *verdict.Program) {
	name := p.Arg
	if name == "" {
		name = p.ID
	}
	head := fmt.Sprintf("%s  %s  %s  ", t.badge(p.Verdict), clean(name), t.kernel())
	if p.Verdict == verdict.Pass {
		t.line("%s%s in %s", head, counts(p), seconds(p.Elapsed))
		t.flaky(p)
		return
	}
	t.line("%s%s in %s", head, p.Verdict, seconds(p.Elapsed))
	shown := t.tests(p)
	if p.Reason != "" && !shown {
		t.line("  %s", clean(p.Reason))
	}
	t.flaky(p)
	t.output(p)
	if len(p.Tests) > 0 {
		t.line("  %s", counts(p))
	}
	t.place(p)
	t.stuck(p)
	t.again(p)
}

// flaky lists what passed in the end.
func (t *text) flaky(p *verdict.Program) {
	if p.Flaky {
		t.line("  flaky: failed, and passed when it was run again")
	}
	for _, test := range p.Tests {
		if test.Flaky && test.Verdict == verdict.Pass {
			t.line("  %s   %s", clean(test.Name), clean(test.Reason))
		}
	}
}

// badge is the word a program's block starts with.
func (t *text) badge(v verdict.Verdict) string {
	word, colour := "FAIL", "31"
	switch v {
	case verdict.Pass:
		word, colour = "PASS", "32"
	case verdict.Skipped:
		word, colour = "SKIP", "33"
	case verdict.Broken:
		word, colour = "BROKEN", "35"
	}
	return t.paint(word, colour)
}

func (t *text) paint(s, colour string) string {
	if !t.opt.Colour {
		return s
	}
	return "\x1b[1;" + colour + "m" + s + "\x1b[0m"
}

// kernel is "linux 6.12.117+rsplice (9f31c2a4be07)".
func (t *text) kernel() string {
	k := t.report.Run.Kernel
	s := "linux"
	if k.Version != "" {
		s += " " + k.Version
	}
	for _, p := range k.Patches {
		s += "+" + seriesName(p)
	}
	if k.Key != "" {
		s += " (" + k.Key[:min(12, len(k.Key))] + ")"
	}
	return clean(s)
}

// maxTests is how many tests of one program are listed; counts tell of all.
const maxTests = 20

// tests lists the tests that did not pass, and says whether there were any.
// A test whose subtests explain it is left out, and so is one that was never
// reached when others tell why.
func (t *text) tests(p *verdict.Program) bool {
	listed := telling(p.Tests)
	w := tabwriter.NewWriter(&t.b, 0, 8, 3, ' ', 0)
	for i, test := range listed {
		if i == maxTests {
			fmt.Fprintf(w, "  and %d more\n", len(listed)-maxTests)
			break
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", clean(test.Name), test.Verdict, clean(t.reason(p, test)))
	}
	_ = w.Flush()
	return len(listed) > 0
}

// reason adds the place to a crash's title where the log tells it.
func (t *text) reason(p *verdict.Program, test verdict.Test) string {
	for _, c := range t.report.Crashes {
		if c.Program == p.ID && c.Test == test.Name && c.Guilty.Source != "" && c.Title == test.Reason {
			return c.Title + " (" + c.Guilty.Source + ")" + mark(c.Guilty)
		}
	}
	return test.Reason
}

// mark points at the patch that wrote a frame's line.
func mark(f console.Frame) string {
	if f.Patch == "" {
		return ""
	}
	return " <- " + f.Patch
}

// patched names the innermost frame of a crash whose line a patch wrote,
// unless that is the guilty frame, which has its mark already.
func (t *text) patched(c *verdict.Complaint) {
	if c.Guilty.Patch != "" {
		return
	}
	for _, f := range c.Frames {
		if f.Patch != "" {
			t.line("  patched  %s", clean(f.Func+" ("+f.Source+")"+mark(f)))
			return
		}
	}
}

// telling picks the tests worth a line.
func telling(tests []verdict.Test) []verdict.Test {
	explained := map[string]bool{}
	for _, test := range tests {
		if bad(test) {
			for name := test.Name; strings.Contains(name, "/"); {
				name = name[:strings.LastIndexByte(name, '/')]
				explained[name] = true
			}
		}
	}
	var reached, never []verdict.Test
	for _, test := range tests {
		switch {
		case !bad(test), explained[test.Name]:
		case test.Reached:
			reached = append(reached, test)
		default:
			never = append(never, test)
		}
	}
	if len(reached) == 0 {
		return never
	}
	return reached
}

func bad(t verdict.Test) bool {
	return t.Verdict != verdict.Pass && t.Verdict != verdict.Skipped
}

// outputLines is how much of what a failed program wrote is shown.
const outputLines = 6

// output shows the end of what a failed program wrote, when no test failed
// that would tell more.
func (t *text) output(p *verdict.Program) {
	if p.Verdict != verdict.Fail && p.Verdict != verdict.Broken || len(telling(p.Tests)) > 0 {
		return
	}
	lines := strings.Split(strings.TrimRight(p.Output, "\n"), "\n")
	for _, l := range lines[max(0, len(lines)-outputLines):] {
		if l = clean(l); l != "" {
			t.line("  | %s", l)
		}
	}
}

// place tells where on the console a program's crashes are, or the console.
func (t *text) place(p *verdict.Program) {
	titles := map[string]bool{}
	for _, c := range t.report.Crashes {
		if c.Program != p.ID || c.Lines[0] == 0 || c.Allowed != nil || titles[c.Title] {
			continue
		}
		titles[c.Title] = true
		place := fmt.Sprintf("%s:%d", cmp.Or(c.Console, t.report.Run.Console), c.Lines[0])
		if len(titles) == 1 {
			t.line("  console  %s", place)
		} else {
			t.line("  also     %s  %s", clean(c.Title), place)
		}
		t.patched(&c)
	}
	if log := cmp.Or(p.Console, t.report.Run.Console); len(titles) == 0 && log != "" {
		t.line("  console  %s", log)
	}
}

// How much of a hung guest's stuck tasks is shown.
const (
	stuckTasks  = 3
	stuckFrames = 5
)

// stuck shows the stacks of what a hung guest was doing.
func (t *text) stuck(p *verdict.Program) {
	s := t.report.Stuck
	hung := func(t verdict.Test) bool { return t.Verdict == verdict.Hang }
	if s == nil || p.Verdict != verdict.Hang && !slices.ContainsFunc(p.Tests, hung) {
		return
	}
	for i, task := range append(slices.Clone(s.CPUs), s.Blocked...) {
		if i == stuckTasks {
			break
		}
		var stack []string
		for _, f := range task.Telling() {
			place := f.Func
			if f.Source != "" {
				place += " (" + f.Source + ")" + mark(f)
			}
			if stack = append(stack, place); len(stack) == stuckFrames {
				break
			}
		}
		t.line("  stuck    %s", clean(fmt.Sprintf("%s (pid %d): %s", task.Name, task.PID, strings.Join(stack, ", "))))
	}
}

// again writes the command that runs just the tests that did not pass.
func (t *text) again(p *verdict.Program) {
	if args := Again(t.report, p); args != nil {
		t.line("  again    %s", sh.Quote(args...))
	}
}

// Again returns the command that runs what went wrong in p once more; nil
// when the report does not tell how the run was started.
func Again(r *verdict.Report, p *verdict.Program) []string {
	if len(r.Run.Again) == 0 || p.Arg == "" && p.ID != verdict.KernelLog {
		return nil
	}
	args := append([]string(nil), r.Run.Again...)
	if p.ID == verdict.KernelLog {
		return append(args, "-kunit", kunitGlob(telling(p.Tests)))
	}
	if p.Protocol == verdict.ByKTAP { // only Go's tests can be chosen by name
		return append(args, p.Arg)
	}
	var names []string
	seen := map[string]bool{}
	listed := telling(p.Tests)
	if len(listed) == 1 {
		return append(args, "-run", pattern(listed[0].Name), p.Arg)
	}
	for _, test := range listed {
		top, _, _ := strings.Cut(test.Name, "/")
		if !seen[top] {
			seen[top] = true
			names = append(names, regexp.QuoteMeta(top))
		}
	}
	switch {
	case len(names) == 1:
		args = append(args, "-run", "^"+names[0]+"$")
	case len(names) > 1 && len(names) <= maxTests:
		args = append(args, "-run", "^("+strings.Join(names, "|")+")$")
	}
	return append(args, p.Arg)
}

// kunitGlob is the -kunit that chooses tests: one, those of a suite, or all.
func kunitGlob(tests []verdict.Test) string {
	suites := map[string]bool{}
	for _, t := range tests {
		suite, _, _ := strings.Cut(t.Name, "/")
		suites[suite] = true
	}
	if len(suites) != 1 {
		return "*"
	}
	words := strings.Split(tests[0].Name, "/")
	glob := words[0]
	if len(tests) == 1 && len(words) > 1 {
		glob += "." + words[1]
	}
	return regexp.MustCompile(`[^A-Za-z0-9_.-]`).ReplaceAllString(glob, "?")
}

// pattern is the -run that chooses just the test called name. A name with
// blanks in it has none in the pattern: the testing package sees underscores.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
