package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path"
	"slices"
	"sort"
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
	Word string
	N    int
}

// A failure is one thing that went wrong.
type failure struct {
	ID, Verdict, Program, Test, Reason, Again, Output string
	Short                                             bool // Output is shown unfolded
	Crashes                                           []complaint
	MoreCrashes                                       int
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
		Facts: facts(r), Recipe: recipe(r), Command: plain(sh.Quote(r.Run.Machine.Command...)),
	}
	p.Notes = allowed(s)
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

// kernelName is "linux 6.12.117+linux-6.12, debug profile".
func kernelName(k verdict.Kernel) string {
	s := "linux " + k.Version
	for _, p := range k.Patches {
		s += "+" + strings.TrimSuffix(path.Base(p), ".patch")
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
			if suite.name != runSuite || wrong(e.Verdict) {
				counts[word]++
				p.row(s, suite, e)
			}
		}
	}
	slices.SortStableFunc(p.Rows, func(a, b row) int { return cmp.Compare(order(a), order(b)) })
	for _, word := range []string{"broken", "crashed", "hung", "without end", "failed", "not reached", "flaky", "skipped", "passed"} {
		if counts[word] > 0 {
			p.Counts = append(p.Counts, count{word, counts[word]})
		}
	}
}

// order puts what went wrong before what did not.
func order(r row) int {
	if wrong(verdict.Verdict(r.Verdict)) {
		return 0
	}
	return 1
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
	for i := range s.Report.Programs {
		if p := &s.Report.Programs[i]; p.ID == suite.name {
			f.Again = command(s.Report, p)
		}
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

// A chart is a picture of durations.
type chart struct {
	Bars   []bar
	Height int // of the picture, in pixels
}

// A bar is one line of a chart.
type bar struct {
	Label, Time, Note, Class string
	Width                    float64 // percent of the chart, at most chartWidth
	Y, TextY                 int     // pixels
}

const (
	barHeight  = 24 // distance of two bars, in pixels
	chartWidth = 42 // the longest bar, in percent: what is left is for words
)

func (c *chart) add(label, note, class string, d, longest time.Duration) {
	b := bar{Label: label, Time: seconds(d), Note: note, Class: class, Y: c.Height + 4, TextY: c.Height + 16}
	if longest > 0 {
		b.Width = chartWidth * d.Seconds() / longest.Seconds()
	}
	c.Bars = append(c.Bars, b)
	c.Height += barHeight
}

func stageChart(stages []verdict.Stage) chart {
	var longest time.Duration
	for _, s := range stages {
		longest = max(longest, s.Elapsed)
	}
	var c chart
	for _, s := range stages {
		c.add(line(s.Name), line(s.Note), "stage", s.Elapsed, longest)
	}
	return c
}

// slowest is the picture of the top-level tests that took longest.
func slowest(all []suite) chart {
	var tests []entry
	for _, suite := range all {
		for _, e := range suite.cases {
			if e.Elapsed >= 10*time.Millisecond && !strings.Contains(e.Name, "/") {
				e.Name = path.Base(suite.name) + " " + e.Name
				tests = append(tests, e)
			}
		}
	}
	sort.SliceStable(tests, func(i, j int) bool { return tests[i].Elapsed > tests[j].Elapsed })
	var c chart
	for i, e := range tests {
		if i == pageSlow {
			break
		}
		c.add(line(e.Name), "", string(e.Verdict), e.Elapsed, tests[0].Elapsed)
	}
	return c
}
