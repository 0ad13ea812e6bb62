package compare

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Bounds of what Text shows.
const (
	maxShown  = 40  // changes of one kind
	maxReason = 120 // runes of a reason
)

// Text writes r for people: what changed, worst first, then the benchmarks
// and what was compared.
func Text(w io.Writer, r *Result) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s\n", strings.ToUpper(string(r.Outcome)), r.gist())
	r.changeTable(&b)
	r.benchTable(&b)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note     %s\n", n)
	}
	r.Base.foot(&b, "base")
	r.Patched.foot(&b, "patched")
	if len(r.Base.Dirs) > 0 {
		fmt.Fprintf(&b, "runs     %s\n", path.Dir(r.Base.Dirs[0]))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// gist is the first line's sentence.
func (r *Result) gist() string {
	worse, better := r.count()
	s := fmt.Sprintf("%s, %s", plural(worse, "regression"), plural(better, "improvement"))
	flaky := 0
	for _, c := range r.Changes {
		if c.Kind == Flaky {
			flaky++
		}
	}
	if flaky > 0 {
		s += fmt.Sprintf(", %d flaky", flaky)
	}
	return fmt.Sprintf("%s in %d and %s", s, len(r.Base.Dirs), plural(len(r.Patched.Dirs), "run"))
}

// changeTable writes a line for each change.
func (r *Result) changeTable(b *bytes.Buffer) {
	if len(r.Changes) == 0 {
		return
	}
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "  change\twhat\tbase\tpatched\t\n")
	shown := map[Kind]int{}
	for _, c := range r.Changes {
		if shown[c.Kind]++; shown[c.Kind] <= maxShown {
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\n", c.Kind, c.Item, &c.Base, &c.Patched, c.why())
		}
	}
	tw.Flush()
	for _, k := range kinds() {
		if more := shown[k] - maxShown; more > 0 {
			fmt.Fprintf(b, "  … %d more: %s\n", more, k)
		}
	}
}

// String is the item for people.
func (it Item) String() string {
	switch {
	case it.Title != "":
		return clean(it.Title)
	case it.Program == "":
		return "the run"
	case it.Test == "":
		return clean(path.Base(it.Program))
	}
	return clean(path.Base(it.Program) + " " + it.Test)
}

// String is "crash 3 of 5", "ok 5", "skipped" or "not run".
func (t *Tally) String() string {
	switch {
	case t.Bad > 0:
		return fmt.Sprintf("%s %d of %d", t.Verdict, t.Bad, t.Runs)
	case t.Runs > 0:
		return fmt.Sprintf("ok %d", t.Runs)
	case t.Skipped > 0:
		return "skipped"
	}
	return "not run"
}

// why is what the worse side says, and how likely the difference is chance
// where that is not plain.
func (c *Change) why() string {
	t := &c.Patched
	if t.Bad == 0 {
		t = &c.Base
	}
	s := ""
	if c.Title == "" {
		s = clean(t.Reason)
		if r := []rune(s); len(r) > maxReason {
			s = string(r[:maxReason]) + "…"
		}
	}
	plain := c.Base.always() && c.Patched.never() || c.Base.never() && c.Patched.always()
	if c.P > 0 && !plain {
		s += fmt.Sprintf(" (p=%.3f)", c.P)
	}
	return strings.TrimSpace(s)
}

// benchTable writes a line for each figure.
func (r *Result) benchTable(b *bytes.Buffer) {
	if len(r.Benchmarks) == 0 {
		return
	}
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "  benchmark\tunit\tbase\tpatched\tdelta\t\n")
	for _, f := range r.Benchmarks {
		fmt.Fprintf(tw, "  %s %s\t%s\t%s\t%s\t%s\t%s\n", clean(path.Base(f.Program)), clean(f.Name), clean(f.Unit),
			f.Base.Text(f.Unit), f.Patched.Text(f.Unit), f.delta(), f.remark())
	}
	tw.Flush()
	if n := r.tellable(); Alpha*float64(n) >= 1 {
		fmt.Fprintf(b, "  of %d figures up to about %.0f may differ by chance alone: what is real differs again, and with a greater -count\n",
			n, Alpha*float64(n))
	}
}

// tellable is how many figures have enough runs for their difference to be told from
// chance.
func (r *Result) tellable() (n int) {
	for _, f := range r.Benchmarks {
		if f.Base.N >= MinPairs && f.Patched.N >= MinPairs {
			n++
		}
	}
	return n
}

func (f *Benchmark) delta() string {
	if !f.Differs {
		return "~"
	}
	return fmt.Sprintf("%+.1f%%", 100*f.Delta)
}

// remark is the significance, and what follows from it.
func (f *Benchmark) remark() string {
	s := fmt.Sprintf("p=%.3f n=%d+%d", f.P, f.Base.N, f.Patched.N)
	switch {
	case f.Regression:
		s += "  REGRESSION"
	case f.Improved:
		s += "  better"
	}
	return strings.Join(append([]string{s}, f.Notes...), "; ")
}

// foot writes what a side was.
func (s *Side) foot(b *bytes.Buffer, name string) {
	k := &s.Kernel
	text := k.Name
	if k.Profile != "" {
		text += ", " + k.Profile
	}
	if len(k.Applied) > 0 {
		text += fmt.Sprintf(", %d applied", len(k.Applied))
	}
	if k.Key != "" {
		text += fmt.Sprintf(" (%.12s)", k.Key)
	}
	if s.Judged < len(s.Dirs) {
		text += fmt.Sprintf("; %s without a verdict: %s", plural(len(s.Dirs)-s.Judged, "run"), s.Reason)
	}
	fmt.Fprintf(b, "%-8s %s\n", name, clean(text))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// clean makes one line without control characters of s: guests write it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
