package verdict

import (
	"slices"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/sh"
)

// maxTests bounds the names one program can make the host remember.
const maxTests = 50_000

// A tally gathers the results of one Go test binary.
type tally struct {
	order   []*outcome
	byName  map[string]*outcome
	outside sh.Tail // output that belongs to no test
	flooded bool    // more than maxTests names came
}

// An outcome is a test while its events still come in.
type outcome struct {
	Test
	open   bool
	paused bool // it waits for its turn among tests that run in parallel
	starts int  // how often it was said to start or to go on
	tail   sh.Tail
}

func newTally() *tally {
	return &tally{byName: map[string]*outcome{}, outside: sh.Tail{Max: MaxOutput}}
}

// add takes the next event.
func (t *tally) add(e gotest.Event) {
	if e.Test == "" {
		if e.Action == gotest.ActionOutput {
			_, _ = t.outside.Write([]byte(e.Output))
		}
		return
	}
	o := t.outcome(e.Test)
	switch {
	case o == nil:
	case e.Action == gotest.ActionRun:
		t.closeBenchmarks(e.Test)
		o.start()
	case e.Action == gotest.ActionCont:
		o.start()
	case e.Action == gotest.ActionPause:
		o.open, o.paused = false, true
	case e.Action == gotest.ActionOutput:
		_, _ = o.tail.Write([]byte(e.Output))
	case e.Ended():
		o.Reached = true
		o.end(verdictOf(e.Action), time.Duration(e.Elapsed*float64(time.Second)))
	}
}

func verdictOf(action string) Verdict {
	switch action {
	case gotest.ActionFail:
		return Fail
	case gotest.ActionSkip:
		return Skipped
	}
	return Pass
}

// outcome returns the one called name, nil when there are too many.
func (t *tally) outcome(name string) *outcome {
	o := t.byName[name]
	if o == nil && len(t.order) < maxTests {
		o = &outcome{Test: Test{Name: name, Verdict: Pass}, tail: sh.Tail{Max: MaxOutput}}
		t.byName[name] = o
		t.order = append(t.order, o)
	}
	t.flooded = t.flooded || o == nil
	return o
}

// start is a test that starts, or goes on.
func (o *outcome) start() {
	o.Reached, o.open, o.paused = true, true, false
	o.starts++
}

func (o *outcome) end(v Verdict, elapsed time.Duration) {
	o.open, o.paused = false, false
	o.Runs++
	if v == Fail {
		o.Failed++
	}
	o.Elapsed += elapsed
	o.Verdict = Worse(o.Verdict, v)
}

// closeBenchmarks ends the benchmarks that are over because the test called
// next has started: a benchmark that has nothing to complain of gets no event.
func (t *tally) closeBenchmarks(next string) {
	for _, o := range t.order {
		if o.open && strings.HasPrefix(o.Name, "Benchmark") && !strings.HasPrefix(next, o.Name+"/") {
			o.end(Pass, 0)
		}
	}
}

// results returns the tests, those of plan that have no result included.
func (t *tally) results(plan Planned, ended, ok bool) []Test {
	if ended && ok {
		t.closeBenchmarks("")
	}
	for _, name := range plan.Tests {
		t.outcome(name)
	}
	planned := map[string]bool{}
	for _, name := range plan.Tests {
		planned[name] = true
	}
	tests := make([]Test, 0, len(t.order))
	for _, o := range t.order {
		if t.elsewhere(plan, o.Name) {
			continue
		}
		want := 1
		// A benchmark repeats the innermost ones, and has itself one result.
		if planned[o.Name] && !strings.HasPrefix(o.Name, "Benchmark") {
			want = max(plan.Count, 1)
		}
		o.missing(want)
		tests = append(tests, o.judged())
	}
	return tests
}

// elsewhere says that another guest runs the test called name.
func (t *tally) elsewhere(plan Planned, name string) bool {
	top, _, _ := strings.Cut(name, "/")
	o := t.byName[top]
	return slices.Contains(plan.Skipped, top) && (o == nil || o.Runs == 0)
}

// missing makes a test Incomplete that has fewer than want results.
func (o *outcome) missing(want int) {
	switch {
	case !o.Reached:
		o.Reason = "not reached"
	case o.open:
		o.Open = true
		o.Reason = "started and never ended"
	case o.paused:
		o.Reason = "waited for its turn"
	case o.Runs < want:
		o.Reason = plural(o.Runs, "result") + " of " + plural(want, "run")
	default:
		return
	}
	o.Verdict = Worse(o.Verdict, Incomplete)
}

// judged is the test as it goes into the report.
func (o *outcome) judged() Test {
	if o.Verdict != Pass {
		o.Output = o.tail.String()
		if o.Reason == "" {
			o.Reason = gist(o.Output)
		}
		o.judgeFlaky()
	}
	return o.Test
}

// gist picks the line of a test's output that says most: the first that is
// indented under it, as the testing package prints messages.
func gist(output string) string {
	for _, line := range strings.Split(output, "\n") {
		text := strings.TrimSpace(line)
		if text != "" && (strings.HasPrefix(line, "    ") || strings.HasPrefix(text, "panic: ")) && !strings.HasPrefix(text, "--- ") {
			return clip(text, maxReason)
		}
	}
	return ""
}

// maxReason bounds a Reason taken from what the guest wrote, in bytes.
const maxReason = 300

// clip shortens s to at most max bytes of valid text without line breaks.
func clip(s string, max int) string {
	s, _, _ = strings.Cut(strings.ToValidUTF8(s, "?"), "\n")
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "…"
}
