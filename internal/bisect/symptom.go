package bisect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/runvm/runvm/internal/verdict"
)

// A Symptom is what is looked for: a complaint of the kernel by its title,
// tests that end in one way, or a benchmark that is worse. Anything else that
// goes wrong is not it.
type Symptom struct {
	// Bench is a figure of a benchmark; then the rest is empty.
	Bench *Bench `json:"bench,omitempty"`
	// Title is a regular expression; then the rest is empty.
	Title   string          `json:"title,omitempty"`
	Tests   []Test          `json:"tests,omitempty"`
	Verdict verdict.Verdict `json:"verdict,omitempty"` // of each of Tests
}

// A Test is one of a program, or the program itself when Name is empty.
type Test struct {
	Program string `json:"program"`
	Name    string `json:"name,omitempty"`
}

// String is the test for people.
func (t Test) String() string { return strings.TrimSpace(t.Program + " " + t.Name) }

// String is the symptom for people.
func (s *Symptom) String() string {
	if s.Bench != nil {
		return s.Bench.String()
	}
	if s.Title != "" {
		return "a complaint that matches " + s.Title
	}
	names := make([]string, len(s.Tests))
	for i, t := range s.Tests {
		names[i] = t.String()
	}
	return fmt.Sprintf("%s of %s", s.Verdict, strings.Join(names, ", "))
}

// Learn returns the symptom that r shows, nil when it shows none: the first
// complaint, else the tests that ended in the run's verdict.
func Learn(r *verdict.Report) *Symptom {
	if !r.Booted || r.ExitCode() != verdict.ExitWrong {
		return nil
	}
	for _, c := range r.Crashes {
		if c.Allowed == nil {
			return &Symptom{Title: "^" + regexp.QuoteMeta(c.Title) + "$"}
		}
	}
	s := &Symptom{Verdict: r.Verdict}
	for i := range r.Programs {
		p := &r.Programs[i]
		found := false
		for _, t := range p.Tests {
			// A test that failed names its subtests; these may have other names elsewhere.
			if t.Verdict == r.Verdict && t.Reached && !strings.Contains(t.Name, "/") {
				s.Tests, found = append(s.Tests, Test{p.ID, t.Name}), true
			}
		}
		if !found && p.Reached && p.Verdict == r.Verdict {
			s.Tests = append(s.Tests, Test{Program: p.ID})
		}
	}
	if len(s.Tests) == 0 {
		return nil
	}
	return s
}

// Judge says whether r shows s, which is no Bench, and why not where that
// cannot be told.
func (s *Symptom) Judge(r *verdict.Report) (Mark, string) {
	if s.Title != "" {
		return s.byTitle(r)
	}
	mark, why := Good, ""
	for _, t := range s.Tests {
		v := find(r, t)
		switch v {
		case s.Verdict:
			return Bad, ""
		case verdict.Pass:
		default:
			mark, why = Skip, fmt.Sprintf("%s: %s, looking for %s", t, v, s.Verdict)
		}
	}
	return mark, why
}

func (s *Symptom) byTitle(r *verdict.Report) (Mark, string) {
	title, err := regexp.Compile(s.Title)
	if err != nil {
		return Skip, err.Error()
	}
	if slices.ContainsFunc(r.Crashes, func(c verdict.Complaint) bool { return c.Allowed == nil && title.MatchString(c.Title) }) {
		return Bad, ""
	}
	if r.Booted && (r.Verdict == verdict.Pass || r.Verdict == verdict.Fail) {
		return Good, ""
	}
	return Skip, strings.TrimSpace(fmt.Sprintf("%s %s", r.Verdict, r.Reason))
}

// notRun is no verdict: it must not be taken for any.
const notRun verdict.Verdict = "not run"

// find is the verdict of t in r.
func find(r *verdict.Report, t Test) verdict.Verdict {
	for i := range r.Programs {
		p := &r.Programs[i]
		switch {
		case p.ID != t.Program || !p.Reached:
		case t.Name == "":
			return p.Verdict
		default:
			for _, test := range p.Tests {
				if test.Name == t.Name && test.Reached {
					return test.Verdict
				}
			}
		}
	}
	return notRun
}
