package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
)

//go:embed page.html
var pageText string

// Bounds of a page.
const (
	pageCrashes = 12   // crashes shown with their consoles
	pageRows    = 2000 // tests in the table
	pageSlow    = 12   // tests in the picture of the slowest
	pageTail    = 120  // lines of the console's end
	pageOutput  = 200  // lines of one output
	shortOutput = 25   // lines of an output that is shown unfolded
)

// HTML writes s as one page that needs nothing but itself: no scripts, styles
// or pictures from elsewhere, no network.
func HTML(w io.Writer, s Source) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(w, newPage(s))
}

// A page is what the template shows.
type page struct {
	Title, Verdict, Reason, Kernel string
	When                           string
	Counts                         []count
	Failures                       []failure
	NotReached                     []string
	Rows                           []row
	MoreRows                       int
	Stages, Slowest                chart
	Facts                          []fact
	Patches                        []verdict.Patch
	Recipe, Command                string
	Notes                          []string
	Tail                           []logged
	TailNote                       string
}

// A count is how many tests ended in one way.
type count struct {
	Word, Class string
	N           int
}

// A failure is one thing that went wrong.
type failure struct {
	ID, Verdict, Program, Test, Reason, Again, Output string
	Short                                             bool // Output is shown unfolded
	Crashes                                           []complaint
	MoreCrashes                                       int
	Stuck                                             []framed // what a guest that hung was doing
}

// A complaint is one complaint of the kernel.
type complaint struct {
	Title, Kind, Damage, Place, Fingerprint string
	Stacks                                  []framed
	Console                                 []logged
	Where                                   string
}

// A framed is a stack with its title, "" for the crash's own.
type framed struct {
	Title  string
	Frames []frameRow
}

// A frameRow is a frame as a line of a table.
type frameRow struct {
	Func, Source, Patch, Note string
	Guilty, Faint             bool
}

// A logged is a line of the console with the way it is coloured.
type logged struct {
	Number int
	Text   string
	Class  string
}

// A row is a test in the table of all tests.
type row struct{ Verdict, Program, Test, Time, Reason, ID string }

func newPage(s Source) *page {
	r := s.Report
	p := &page{
		Title: "runvm: " + string(r.Verdict), Verdict: string(r.Verdict), Reason: plain(r.Reason), Kernel: kernelName(r.Run.Kernel),
		When: when(r), Facts: facts(r), Recipe: recipe(r), Command: plain(sh.Quote(r.Run.Machine.Command...)),
	}
	p.Notes = allowed(s)
	for i := range r.Allow {
		if n := r.Allow[i].Note(); n != "" {
			p.Notes = append(p.Notes, line(n))
		}
	}
	for _, n := range r.Notes {
		p.Notes = append(p.Notes, line(n))
	}
	p.Notes = append(p.Notes, notCompiled(r.Run.Kernel)...)
	p.Patches = patches(r.Run.Kernel)
	p.Stages = stageChart(r.Run.Stages)
	all := suites(r)
	p.tests(s, all)
	p.Slowest = slowest(all)
	e := tail(s.Console, pageTail)
	p.Tail = coloured(e, 0, 0, "")
	if len(e.lines) > 0 && e.lines[0].Number > 1 {
		p.TailNote = fmt.Sprintf("the last %d lines", len(e.lines))
	}
	return p
}

// when is "2026-11-26 02:46 UTC, 22 s, 4 guests".
func when(r *verdict.Report) string {
	var parts []string
	if !r.Run.Started.IsZero() {
		parts = append(parts, r.Run.Started.UTC().Format("2006-01-02 15:04 UTC"))
	}
	var took time.Duration
	for _, s := range r.Run.Stages {
		took += s.Elapsed
	}
	if took > 0 {
		parts = append(parts, seconds(took))
	}
	if n := len(r.Guests); n > 0 {
		parts = append(parts, number(n, "guest"))
	}
	return strings.Join(parts, ", ")
}

// kernelName is "linux 6.12.117+linux-6.12, debug profile".
func kernelName(k verdict.Kernel) string {
	s := "linux " + k.Version
	for _, p := range k.Patches {
		s += "+" + seriesName(p)
	}
	if k.Profile != "" {
		s += ", " + k.Profile + " profile"
	}
	return line(s)
}

// tests fills the table of tests, their counts and the failures.
func (p *page) tests(s Source, all []suite) {
	counts := map[string]int{}
	for _, suite := range all {
		for _, e := range suite.cases {
			word := outcome(e.Test)
			if flaky(e) {
				word = "flaky"
			}
			if suite.name == runSuite && !wrong(e.Verdict) {
				continue
			}
			if !e.part { // as the terminal counts
				counts[word]++
			}
			p.row(s, suite, e)
		}
	}
	slices.SortStableFunc(p.Rows, func(a, b row) int { return cmp.Compare(order(a.Verdict), order(b.Verdict)) })
	slices.SortStableFunc(p.Failures, func(a, b failure) int { return cmp.Compare(order(a.Verdict), order(b.Verdict)) })
	for _, word := range []string{"broken", "crashed", "hung", "without end", "failed", "not reached", "flaky", "skipped", "passed"} {
		if counts[word] > 0 {
			p.Counts = append(p.Counts, count{word, classes()[word], counts[word]})
		}
	}
}

// order puts what is worse before what is not so bad; a skip is no worse than
// a pass.
func order(v string) int {
	all := []verdict.Verdict{verdict.Broken, verdict.Crash, verdict.Hang, verdict.Fail, verdict.Incomplete}
	if i := slices.Index(all, verdict.Verdict(v)); i >= 0 {
		return i
	}
	return len(all)
}

// classes are the colours of counts.
func classes() map[string]string {
	return map[string]string{
		"broken": "broken", "crashed": "crash", "hung": "hang", "without end": "incomplete", "failed": "fail",
		"not reached": "incomplete", "flaky": "incomplete", "skipped": "skipped", "passed": "pass",
	}
}

// row adds a test to the table and, when it tells what is wrong, to the
// failures.
func (p *page) row(s Source, suite suite, e entry) {
	r := row{Verdict: string(e.Verdict), Program: line(suite.name), Test: line(e.Name), Time: rowTime(e.Elapsed), Reason: line(e.Reason)}
	switch {
	case !wrong(e.Verdict), explained(suite.cases, e):
	case unreached(e):
		p.NotReached = append(p.NotReached, r.Program+" "+r.Test)
	default:
		r.ID = fmt.Sprintf("f%d", len(p.Failures)+1)
		p.Failures = append(p.Failures, newFailure(s, suite, e, r.ID))
	}
	if len(p.Rows) == pageRows {
		p.MoreRows++
		return
	}
	p.Rows = append(p.Rows, r)
}

// rowTime is how long a test took; "" where nobody measured it.
func rowTime(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return seconds(d)
}

func newFailure(s Source, suite suite, e entry, id string) failure {
	f := failure{ID: id, Verdict: string(e.Verdict), Program: line(suite.name), Test: line(e.Name), Reason: line(e.Reason)}
	lines := strings.Split(strings.TrimRight(plain(e.Output), "\n"), "\n")
	f.Output, f.Short = strings.Join(lines[max(0, len(lines)-pageOutput):], "\n"), len(lines) <= shortOutput
	if len(lines) == 1 && strings.HasPrefix(lines[0], "=== RUN ") {
		f.Output = ""
	}
	for i := range s.Report.Programs {
		if p := &s.Report.Programs[i]; p.ID == suite.name {
			f.Again = command(s.Report, alone(p, e.Name))
		}
	}
	if e.Verdict == verdict.Hang {
		f.Stuck = stuck(s.Report.Stuck)
	}
	for i, c := range e.crashes {
		if i == pageCrashes {
			f.MoreCrashes = len(e.crashes) - i
			break
		}
		f.Crashes = append(f.Crashes, newComplaint(s, c))
	}
	return f
}

// alone is p with no other test than the one called name, if it has that.
func alone(p *verdict.Program, name string) *verdict.Program {
	one := *p
	for i := range p.Tests {
		if p.Tests[i].Name == name {
			one.Tests = p.Tests[i : i+1]
		}
	}
	return &one
}

// pageStuck bounds the tasks of a hung guest whose stacks are shown.
const pageStuck = 12

// stuck are the stacks of what runs and of what is blocked in a hung guest.
func stuck(s *console.Stuck) []framed {
	if s == nil {
		return nil
	}
	var all []framed
	add := func(how string, tasks []console.Task) {
		for _, t := range tasks {
			if len(all) < pageStuck {
				all = append(all, newFramed(line(fmt.Sprintf("%s (pid %d) %s", t.Name, t.PID, how)), t.Frames, ""))
			}
		}
	}
	add("runs", s.CPUs)
	add("is blocked", s.Blocked)
	for _, h := range s.Held {
		if len(all) < pageStuck {
			all = append(all, newFramed(line(fmt.Sprintf("%s (pid %d) holds or waits for %s", h.Name, h.PID, h.Lock)), []console.Frame{h.At}, ""))
		}
	}
	return all
}

func newComplaint(s Source, c verdict.Complaint) complaint {
	k := complaint{Title: line(c.Title), Kind: line(string(c.Kind)), Damage: line(c.Damage), Place: line(c.Guilty.Source), Fingerprint: line(c.Fingerprint)}
	k.Stacks = append(k.Stacks, newFramed("", c.Frames, c.Guilty.Func))
	for _, other := range c.Stacks {
		k.Stacks = append(k.Stacks, newFramed(line(other.Title), other.Frames, ""))
	}
	if c.Lines[0] > 0 {
		e := part(s.log(c.Console), c.Lines[0]-contextLines, c.Lines[1]+contextLines)
		k.Console = coloured(e, c.Lines[0], c.Lines[1], c.Guilty.Func)
		k.Where = s.place(c)
	}
	return k
}

// newFramed makes a stack of frames; those that only report what the guilty
// one did are faint.
func newFramed(title string, frames []console.Frame, guilty string) framed {
	s := framed{Title: title}
	at := slices.IndexFunc(frames, func(f console.Frame) bool { return guilty != "" && f.Func == guilty })
	for i, f := range frames {
		r := frameRow{Func: line(f.Func), Source: line(f.Source), Patch: line(f.Patch), Note: line(f.Doubt), Guilty: i == at, Faint: f.Guessed || i < at}
		if r.Func == "" {
			r.Func = "0x" + f.Address
		}
		if f.Module != "" {
			r.Func += " [" + line(f.Module) + "]"
		}
		if f.Inlined {
			r.Note = strings.TrimPrefix("inlined; "+r.Note, "; ")
			r.Note = strings.TrimSuffix(r.Note, "; ")
		}
		s.Frames = append(s.Frames, r)
	}
	return s
}

// coloured marks the lines of a crash, those that say what it is, and the
// guilty function.
func coloured(e excerpt, first, last int, guilty string) []logged {
	var all []logged
	for _, l := range e.lines {
		class := ""
		switch {
		case l.Number == 0:
			class = "gap"
		case complains(l.Text):
			class = "bad"
		case guilty != "" && strings.Contains(l.Text, guilty+"+0x"):
			class = "guilty"
		case strings.Contains(l.Text, "runvm: "):
			class = "mark"
		case first > 0 && (l.Number < first || l.Number > last), strings.Contains(l.Text, " ? "):
			class = "faint"
		}
		all = append(all, logged{l.Number, l.Text, class})
	}
	return all
}

// complains says that a line of the kernel is worth the eye.
func complains(text string) bool {
	for _, word := range []string{"BUG: ", "WARNING: ", "INFO: task ", "Oops", "Kernel panic", "kernel BUG", "general protection", "UBSAN: ", "INFO: rcu", "INFO: possible"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
