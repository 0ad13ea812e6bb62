package bisect

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/runvm/runvm/internal/verdict"
)

// Schema is the version of Result as JSON.
const Schema = 1

// A Result is the end of a bisection. It is written as result.json.
type Result struct {
	Schema  int      `json:"schema"`
	Symptom *Symptom `json:"symptom"`
	// Patches are all of the series; patch n leads to position n.
	Patches []verdict.Patch `json:"patches"`
	// Steps are the positions that were tested, in the order of the series.
	Steps []Step `json:"steps"`
	// First and Last are the numbers, from 1, of the patches among which the
	// culprit is; with no skips between good and bad they are the same.
	First int `json:"first"`
	Last  int `json:"last"`
	// Stat is git's diffstat of patches First to Last.
	Stat string `json:"stat"`
	// Diff is the file that has the diff itself.
	Diff string `json:"diff"`
	Dir  string `json:"dir"` // of all runs
}

// A Step is one position that was tested.
type Step struct {
	Position int    `json:"position"`
	Mark     Mark   `json:"mark"`
	Tally    Tally  `json:"tally"`
	Key      string `json:"key,omitempty"` // of the image
	// Dirs are the directories of its runs.
	Dirs []string `json:"dirs,omitempty"`
	// Reason is why it was skipped, or what a bad run said.
	Reason string `json:"reason,omitempty"`
}

// Found says that there is one culprit.
func (r *Result) Found() bool { return r.First == r.Last }

// ExitCode is 0 when the culprit was found, else 125.
func (r *Result) ExitCode() int {
	if r.Found() {
		return verdict.ExitPass
	}
	return verdict.ExitNoVerdict
}

// Text writes r for people: the culprit, then the evidence.
func Text(w io.Writer, r *Result) error {
	var b bytes.Buffer
	if r.Found() {
		fmt.Fprintf(&b, "CULPRIT  patch %d of %d: %s\n", r.First, len(r.Patches), r.patch(r.First))
	} else {
		fmt.Fprintf(&b, "CULPRIT  one of patches %d to %d of %d: those between cannot be tested\n", r.First, r.Last, len(r.Patches))
		for n := r.First; n <= r.Last; n++ {
			fmt.Fprintf(&b, "  %d  %s\n", n, r.patch(n))
		}
	}
	for line := range strings.Lines(r.Stat) {
		fmt.Fprintf(&b, "  %s\n", clean(strings.TrimSpace(line)))
	}
	fmt.Fprintf(&b, "diff     %s\n", r.Diff)
	fmt.Fprintf(&b, "symptom  %s\n", clean(r.Symptom.String()))
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, s := range r.Steps {
		runs := ""
		if len(s.Dirs) > 0 {
			runs = s.Dirs[0]
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\n", s.Mark, r.position(s.Position), &s.Tally, runs, clean(s.Reason))
	}
	tw.Flush()
	fmt.Fprintf(&b, "runs     %s\n", r.Dir)
	_, err := w.Write(b.Bytes())
	return err
}

// position names the kernel with the first n patches.
func (r *Result) position(n int) string {
	if n == 0 {
		return "base"
	}
	return fmt.Sprintf("%d %s", n, clean(r.Patches[n-1].Name))
}

// patch names patch n, from 1.
func (r *Result) patch(n int) string {
	p := r.Patches[n-1]
	return clean(strings.TrimSpace(p.Name + "  " + p.Subject))
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
