// Package each holds what came of building, booting and checking a series
// patch by patch: whether `git bisect` could stop at any of them.
package each

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
)

// Schema is the version of Result as JSON.
const Schema = 1

// A Result is what was found of each prefix of a series. It is written as
// each.json.
type Result struct {
	Schema int `json:"schema"`
	// Base is the name of the kernel without the series.
	Base string `json:"base"`
	// Steps are the prefixes, the one with only the first patch first.
	Steps []Step `json:"steps"`
	// Notes are what was not checked, and why.
	Notes []string `json:"notes,omitempty"`
	Dir   string   `json:"dir"` // of all runs
}

// A Step is the kernel with all patches up to and with one of them.
type Step struct {
	Number int           `json:"number"` // of the patch, from 1
	Patch  verdict.Patch `json:"patch"`
	// Build is why there is no image; then the rest up to Complaints is empty.
	Build string `json:"build,omitempty"`
	Key   string `json:"key,omitempty"` // of the image
	// Commands is how many commands make ran for it, 0 for one that was cached.
	Commands int           `json:"commands,omitempty"`
	Cached   bool          `json:"cached,omitempty"`
	Took     time.Duration `json:"took_ns,omitempty"` // of the build
	// Booted, Verdict and Reason are of the run.
	Booted  bool            `json:"booted,omitempty"`
	Verdict verdict.Verdict `json:"verdict,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Dir     string          `json:"dir,omitempty"` // of the run
	// Complaints are those of checkpatch and sparse that the kernel before
	// the patch has not.
	Complaints []kernel.Complaint `json:"complaints,omitempty"`
}

// good says that a bisection could stop here.
func (s *Step) good() bool {
	return s.Build == "" && (s.Verdict == verdict.Pass || s.Verdict == verdict.Skipped)
}

// ExitCode is 0 when every step builds, boots and passes, else 1; 125 when no
// step ran a test, or one has no verdict. Complaints about the source are no
// failure.
func (r *Result) ExitCode() int {
	code, ran := verdict.ExitPass, false
	for i := range r.Steps {
		s := &r.Steps[i]
		ran = ran || s.Verdict != verdict.Skipped
		switch {
		case s.good():
		case s.Verdict == verdict.Broken:
			return verdict.ExitNoVerdict
		default:
			code = verdict.ExitWrong
		}
	}
	if !ran {
		return verdict.ExitNoVerdict
	}
	return code
}

// Line is the step on one line, "3 of 8  0003-x.patch  builds (12 s, 31 commands), boots, pass".
func (r *Result) Line(i, of int) string {
	s := &r.Steps[i]
	return fmt.Sprintf("%d of %d  %s  %s", s.Number, of, clean(s.Patch.Name), s.outcome())
}

func (s *Step) outcome() string {
	if s.Build != "" {
		return "does not build: " + clean(s.Build)
	}
	text := "builds (" + s.effort() + "), "
	if s.Booted {
		text += "boots, "
	}
	text += string(s.Verdict)
	if s.Reason != "" {
		text += ": " + clean(s.Reason)
	}
	return text
}

// effort is what the build cost.
func (s *Step) effort() string {
	if s.Cached {
		return "cached"
	}
	return fmt.Sprintf("%.0f s, %d commands", s.Took.Seconds(), s.Commands)
}

// maxShown bounds the complaints on one patch that Text shows.
const maxShown = 10

// Text writes r for people: the gist, a table, what is new in the source.
func Text(w io.Writer, r *Result) error {
	var b bytes.Buffer
	fmt.Fprintln(&b, r.gist())
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprint(tw, "  patch\tbuild\tboot\ttests\tnew complaints\tnot compiled\n")
	for i := range r.Steps {
		s := &r.Steps[i]
		build, boot, tests := s.effort(), "yes", string(s.Verdict)
		switch {
		case s.Build != "":
			build, boot, tests = "FAILS", "-", "-"
		case !s.Booted:
			boot = "NO"
		}
		fmt.Fprintf(tw, "  %d  %s\t%s\t%s\t%s\t%s\t%s\n", s.Number, clean(s.Patch.Name), build, boot, tests, count(len(s.Complaints)), count(len(s.Patch.NotCompiled)))
	}
	tw.Flush()
	for i := range r.Steps {
		r.Steps[i].details(&b)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", clean(n))
	}
	fmt.Fprintf(&b, "base     %s\nruns     %s\n", clean(r.Base), r.Dir)
	_, err := w.Write(b.Bytes())
	return err
}

// count is a number in the table.
func count(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// gist is the first line.
func (r *Result) gist() string {
	var bad []string
	for i := range r.Steps {
		if !r.Steps[i].good() {
			bad = append(bad, fmt.Sprint(r.Steps[i].Number))
		}
	}
	switch len(bad) {
	case 0:
		return fmt.Sprintf("EACH PASS  all %d prefixes build, boot and pass", len(r.Steps))
	case 1:
		return fmt.Sprintf("EACH FAIL  of %d patches, the one that fails is %s", len(r.Steps), bad[0])
	}
	return fmt.Sprintf("EACH FAIL  of %d patches, those that fail are %s", len(r.Steps), strings.Join(bad, ", "))
}

// details are the lines on one step behind the table.
func (s *Step) details(b *bytes.Buffer) {
	line := func(format string, args ...any) {
		fmt.Fprintf(b, "  %d  %s\n", s.Number, clean(fmt.Sprintf(format, args...)))
	}
	if s.Build != "" {
		line("does not build: %s", s.Build)
	}
	if s.Build == "" && !s.good() {
		line("%s: %s  %s", s.Verdict, s.Reason, s.Dir)
	}
	for i, c := range s.Complaints {
		if i == maxShown {
			line("and %d more complaints", len(s.Complaints)-maxShown)
			break
		}
		line("%s", c)
	}
	for i, g := range s.Patch.NotCompiled {
		if i == maxShown {
			line("and %d more places that are not compiled", len(s.Patch.NotCompiled)-maxShown)
			break
		}
		line("%s", g)
	}
}

// clean makes one line without control characters of s: strangers write it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
