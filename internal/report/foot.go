package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/runvm/runvm/internal/verdict"
)

// whole writes what concerns the run and not one of its programs.
func (t *text) whole() {
	r := t.report
	for _, c := range r.Crashes {
		if c.Allowed != nil {
			t.line("allowed: %s: %s  %s:%d", clean(c.Title), clean(c.Allowed.String()), cmp.Or(c.Console, r.Run.Console), c.Lines[0])
		} else if c.Program == "" {
			t.line("%s  before the first program  %s  crash", t.badge(verdict.Crash), t.kernel())
			t.line("  %s", clean(c.Title))
			t.line("  console  %s:%d", r.Run.Console, c.Lines[0])
		}
	}
	for _, line := range strings.Split(r.Tail, "\n") {
		if line = clean(line); line != "" {
			t.line("  | %s", line)
		}
	}
	for i := range r.Allow {
		if n := r.Allow[i].Note(); n != "" {
			t.line("note: %s", clean(n))
		}
	}
	for _, n := range r.Notes {
		t.line("note: %s", clean(n))
	}
	for _, n := range notCompiled(r.Run.Kernel) {
		t.line("note: %s", n)
	}
}

// foot writes the verdict over all and where everything is.
func (t *text) foot() {
	r := t.report
	word := t.paint(string(r.Verdict), "31")
	if r.Verdict == verdict.Pass {
		word = t.paint(string(r.Verdict), "32")
	}
	if r.Reason != "" {
		word += "  " + clean(r.Reason)
	}
	t.line("verdict  %s", word)
	if k := r.Run.Kernel; k.Name != "" {
		t.line("kernel   %s", clean(k.Name+t.built()))
	}
	if k := r.Run.Kernel; k.Base != "" {
		t.line("base     %s", clean(k.Base))
	}
	if shift := shifted(r.Run.Kernel); shift != "" {
		t.line("patches  applied with %s", shift)
	}
	if m := r.Run.Machine; m.Accel != "" {
		t.line("machine  %s", clean(join(m.Accel, m.AccelWhy)))
	}
	if len(r.Guests) > 0 {
		t.line("guests   %s", guests(r.Guests))
	}
	if len(r.Run.Stages) > 0 {
		t.line("stages   %s", stages(r.Run.Stages))
	}
	for _, command := range r.Run.Core {
		t.line("core     %s", clean(command))
	}
	if r.Run.Dir != "" {
		t.line("run      %s", r.Run.Dir)
	}
}

// guests is "5: crash, crash, fail, fail (retry 1), pass (retry 2)".
func guests(all []verdict.Guest) string {
	var parts []string
	for _, g := range all {
		part := string(g.Verdict)
		if g.Retry > 0 {
			part += fmt.Sprintf(" (retry %d)", g.Retry)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%d: %s", len(all), strings.Join(parts, ", "))
}

func (t *text) built() string {
	k := t.report.Run.Kernel
	s := ""
	if k.Profile != "" {
		s += ", " + k.Profile
	}
	if !k.Built.IsZero() && !t.opt.Now.IsZero() {
		s += ", built " + age(t.opt.Now.Sub(k.Built)) + " ago"
	}
	return s
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

func stages(all []verdict.Stage) string {
	var parts []string
	for _, s := range all {
		part := s.Name + " " + seconds(s.Elapsed)
		if s.Note != "" {
			part += " (" + s.Note + ")"
		}
		parts = append(parts, part)
	}
	return clean(strings.Join(parts, ", "))
}

// counts is "3 passed, 1 crashed, 5 not reached", top-level tests only.
func counts(p *verdict.Program) string {
	n := map[string]int{}
	for i, test := range p.Tests {
		if counted(p, i) {
			n[outcome(test)]++
		}
	}
	var parts []string
	for _, word := range []string{"passed", "skipped", "failed", "crashed", "hung", "broken", "without end", "not reached"} {
		if n[word] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[word], word))
		}
	}
	if len(parts) == 0 {
		return string(p.Verdict)
	}
	return strings.Join(parts, ", ")
}

// counted says whether test i of p is one that people count: of Go's tests each
// that is no subtest, of others each without subtests, for theirs are suites,
// and a suite that is bad although none of its tests is.
func counted(p *verdict.Program, i int) bool {
	name := p.Tests[i].Name
	if p.Protocol != verdict.ByKTAP {
		return !strings.Contains(name, "/")
	}
	below := p.Tests[i+1:]
	for n, test := range below {
		if !strings.HasPrefix(test.Name, name+"/") {
			below = below[:n]
			break
		}
	}
	return len(below) == 0 || bad(p.Tests[i]) && !slices.ContainsFunc(below, bad)
}

func outcome(t verdict.Test) string {
	switch t.Verdict {
	case verdict.Pass:
		return "passed"
	case verdict.Skipped:
		return "skipped"
	case verdict.Fail:
		return "failed"
	case verdict.Crash:
		return "crashed"
	case verdict.Hang:
		return "hung"
	case verdict.Incomplete:
		if t.Reached {
			return "without end"
		}
		return "not reached"
	}
	return "broken"
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// age is d in the largest unit that fits: "3 h", "12 d".
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(max(0, d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// maxLine bounds a line of what the guest wrote, in runes.
const maxLine = 400

// clean makes what the guest wrote safe to print on one line of a terminal.
func clean(s string) string {
	n := 0
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if n++; n > maxLine {
			return -1
		}
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s), " ")
}
