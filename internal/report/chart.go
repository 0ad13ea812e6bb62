package report

import (
	"path"
	"sort"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/verdict"
)

// A chart is a picture of durations.
type chart struct {
	Bars   []bar
	Height int // of the picture, in pixels
}

// A bar is one line of a chart.
type bar struct {
	Label, Time, Note, Class string
	Short                    string  // start of Note, as much as has room
	Width                    float64 // percent of the chart, at most chartWidth
	Y, TextY                 int     // pixels
}

const (
	barHeight  = 24 // distance of two bars, in pixels
	chartWidth = 42 // the longest bar, in percent: what is left is for words
)

func (c *chart) add(label, note, class string, d, longest time.Duration) {
	b := bar{Label: label, Time: seconds(d), Note: note, Short: shorten(note), Class: class, Y: c.Height + 4, TextY: c.Height + 16}
	if longest > 0 {
		b.Width = chartWidth * d.Seconds() / longest.Seconds()
	}
	c.Bars = append(c.Bars, b)
	c.Height += barHeight
}

// barNote is how much of a note has room beside the longest bar, in bytes.
const barNote = 48

func shorten(note string) string {
	if len(note) <= barNote {
		return note
	}
	return strings.TrimRight(strings.ToValidUTF8(note[:barNote], ""), " ,") + " …"
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
