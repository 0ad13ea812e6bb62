package repro

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/runvm/runvm/internal/verdict"
)

// Schema is the version of Result as JSON.
const Schema = 1

// A Result is what the runs of both kernels of a Repro say.
type Result struct {
	Schema int    `json:"schema"`
	Name   string `json:"name"`
	Title  string `json:"title"`
	Fix    string `json:"fix,omitempty"`
	Buggy  Side   `json:"buggy"`
	Fixed  Side   `json:"fixed"`
	// Err is why there is no answer: a kernel that does not build.
	Err string `json:"error,omitempty"`
}

// A Side is the runs of one kernel.
type Side struct {
	Kernel string `json:"kernel,omitempty"` // its version
	// Want is the verdict that each run must have.
	Want verdict.Verdict `json:"want"`
	Runs int             `json:"runs"`
	// Right are the runs that ended as they must, Untested those that say
	// nothing of the kernel: it did not boot, the test skipped itself.
	Right    int `json:"right"`
	Untested int `json:"untested,omitempty"`
	// Said is the symptom as the first right run has it.
	Said string `json:"said,omitempty"`
	// Odd is how the first run ended that is not right, Dir where that is kept.
	Odd string `json:"odd,omitempty"`
	Dir string `json:"dir,omitempty"`
}

// NewResult is the Result of r before its first run.
func NewResult(r *Repro) *Result {
	return &Result{
		Schema: Schema, Name: r.Name, Title: r.Title, Fix: r.Fix,
		Buggy: Side{Kernel: r.Buggy.Source, Want: r.Verdict}, Fixed: Side{Kernel: r.Fixed.Source, Want: verdict.Pass},
	}
}

// Add counts a run of s, a side of r's Result.
func (r *Repro) Add(s *Side, report *verdict.Report) {
	s.Runs++
	if v := report.Run.Kernel.Version; v != "" {
		s.Kernel = v
	}
	said, right := "", report.Verdict == s.Want
	if right && s.Want != verdict.Pass {
		said, right = r.symptom(report)
	}
	if right {
		s.Right++
		if s.Said == "" {
			s.Said = said
		}
		return
	}
	if report.ExitCode() == verdict.ExitNoVerdict {
		s.Untested++
	}
	if s.Odd == "" {
		s.Odd, s.Dir = strings.TrimSpace(string(report.Verdict)+"  "+report.Reason), report.Run.Dir
	}
}

// symptom returns what in report matches r's symptom. Of several complaints
// the first counts: the others may follow from it.
func (r *Repro) symptom(report *verdict.Report) (string, bool) {
	var candidates []string
	switch r.Verdict {
	case verdict.Crash:
		for _, c := range report.Crashes {
			if c.Allowed == nil {
				candidates = []string{c.Title}
				break
			}
		}
	case verdict.Hang:
		candidates = []string{report.Reason}
	case verdict.Fail:
		for _, p := range report.Programs {
			for _, t := range p.Tests {
				if t.Verdict == verdict.Fail {
					candidates = append(candidates, t.Reason)
				}
			}
		}
	}
	for _, c := range candidates {
		if r.Symptom.MatchString(c) {
			return c, true
		}
	}
	return "", false
}

// Shown says that every run of the buggy kernel shows the bug and none of the
// fixed one.
func (r *Result) Shown() bool { return r.Err == "" && r.Buggy.all() && r.Fixed.all() }

func (s *Side) all() bool { return s.Runs > 0 && s.Right == s.Runs }

// Outcome is "shown", "not shown" or "no verdict".
func (r *Result) Outcome() string {
	switch {
	case r.Shown():
		return "shown"
	case r.ExitCode() == verdict.ExitNoVerdict:
		return "no verdict"
	}
	return "not shown"
}

// ExitCode is 0 for a bug that is shown, 125 where a run says nothing, else 1.
func (r *Result) ExitCode() int {
	switch {
	case r.Shown():
		return verdict.ExitPass
	case r.Err != "", r.Buggy.Untested+r.Fixed.Untested > 0, r.Buggy.Runs == 0, r.Fixed.Runs == 0:
		return verdict.ExitNoVerdict
	}
	return verdict.ExitWrong
}

// Text writes r for people.
func Text(w io.Writer, r *Result) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s  %s\n", strings.ToUpper(r.Outcome()), r.Name, clean(r.Title))
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, s := range []struct {
		name string
		*Side
	}{{"buggy", &r.Buggy}, {"fixed", &r.Fixed}} {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", s.name, clean(s.Kernel), s.count(), clean(s.Said))
		if s.Odd != "" {
			fmt.Fprintf(tw, "  \t\tbut\t%s\n", clean(s.Odd))
			fmt.Fprintf(tw, "  \t\trun\t%s\n", s.Dir)
		}
	}
	tw.Flush()
	if r.Fix != "" {
		fmt.Fprintf(&b, "fix      %s\n", clean(r.Fix))
	}
	if r.Err != "" {
		fmt.Fprintf(&b, "error    %s\n", clean(r.Err))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Table writes a line for each result.
func Table(w io.Writer, all []*Result) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "REPRO\tBUGGY\t\tFIXED\t\t\n")
	for _, r := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, clean(r.Buggy.Kernel), r.Buggy.count(), clean(r.Fixed.Kernel), r.Fixed.count(), r.Outcome())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		for _, why := range []string{r.Err, r.Buggy.Odd, r.Fixed.Odd} {
			if why != "" {
				if _, err := fmt.Fprintf(w, "%s: %s\n", r.Name, clean(why)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// List writes a line for each repro, without running it.
func List(w io.Writer, all []*Repro) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.Name, r.Buggy.shortly(), r.Verdict, clean(r.Title))
	}
	return tw.Flush()
}

// shortly is "6.12 + 0001-x.patch".
func (k *Kernel) shortly() string {
	s := k.Source
	for _, p := range k.Patches {
		s += " + " + path.Base(p)
	}
	return clean(s)
}

// count is "20 of 20 crash".
func (s *Side) count() string { return fmt.Sprintf("%d of %d %s", s.Right, s.Runs, s.Want) }

// clean makes one line without control characters of s: guests write it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
