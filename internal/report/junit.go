package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/verdict"
)

// The elements of JUnit's XML, as Jenkins reads it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string           `xml:"name,attr"`
		Tests      int              `xml:"tests,attr"`
		Failures   int              `xml:"failures,attr"`
		Errors     int              `xml:"errors,attr"`
		Skipped    int              `xml:"skipped,attr"`
		Time       string           `xml:"time,attr"`
		Timestamp  string           `xml:"timestamp,attr,omitempty"`
		Properties *junitProperties `xml:"properties"`
		Cases      []junitCase      `xml:"testcase"`
		Out        string           `xml:"system-out,omitempty"`
	}
	junitProperties struct {
		Properties []junitProperty `xml:"property"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		Time    string       `xml:"time,attr"`
		Skipped *junitResult `xml:"skipped"`
		Error   *junitResult `xml:"error"`
		Failure *junitResult `xml:"failure"`
		Flaky   *junitResult `xml:"flakyFailure"`
		Out     string       `xml:"system-out,omitempty"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// tailLines is how much of the console's end a suite that went wrong quotes.
const tailLines = 100

// JUnit writes s as JUnit XML that Jenkins and its like accept: a suite for
// the run and for each program, a case for each test. A failure is what a test
// said; what else went wrong (crash, hang, no result) is an error.
func JUnit(w io.Writer, s Source) error {
	doc := junitSuites{Name: "runvm " + line(s.Report.Run.ID)}
	var total time.Duration
	for _, suite := range suites(s.Report) {
		js := junit(s, suite)
		total += suite.elapsed
		doc.Tests += js.Tests
		doc.Failures += js.Failures
		doc.Errors += js.Errors
		doc.Suites = append(doc.Suites, js)
	}
	doc.Time = junitTime(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junit is the suite of one program, or of the run.
func junit(s Source, suite suite) junitSuite {
	js := junitSuite{Name: line(suite.name), Time: junitTime(suite.elapsed), Tests: len(suite.cases)}
	if suite.name == runSuite {
		js.Properties = junitFacts(s.Report)
	}
	if started := s.Report.Run.Started; !started.IsZero() {
		js.Timestamp = started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, e := range suite.cases {
		c := junitOf(suite, e)
		switch {
		case c.Skipped != nil:
			js.Skipped++
		case c.Failure != nil:
			js.Failures++
		case c.Error != nil:
			js.Errors++
		}
		js.Cases = append(js.Cases, c)
	}
	if js.Failures+js.Errors > 0 {
		js.Out = tail(s.log(suite.console), tailLines).text()
	}
	return js
}

func junitOf(suite suite, e entry) junitCase {
	c := junitCase{Name: line(e.Name), Class: line(suite.name), Time: junitTime(e.Elapsed), Out: plain(e.Output)}
	result := &junitResult{Message: line(e.Reason), Type: string(e.Verdict)}
	if result.Message == "" && e.Verdict != verdict.Pass {
		result.Message = string(e.Verdict)
	}
	switch e.Verdict {
	case verdict.Pass:
		if flaky(e) {
			result.Type = string(verdict.Fail)
			c.Flaky = result
		}
	case verdict.Skipped:
		result.Type = ""
		c.Skipped = result
	case verdict.Fail:
		c.Failure = result
	default:
		result.Text = crashText(e.crashes)
		c.Error = result
	}
	return c
}

// crashText is all that the reports of crashes say, with the decoded stack
// before the kernel's own words.
func crashText(crashes []verdict.Complaint) string {
	var b strings.Builder
	for _, c := range crashes {
		fmt.Fprintf(&b, "%s\n", line(c.Title))
		if s := stack(c.Frames, c.Guilty); s != "" {
			fmt.Fprintf(&b, "\n%s\n", s)
		}
		b.WriteString(plain(c.Text) + "\n")
	}
	return b.String()
}

// junitFacts are the properties of the run's suite.
func junitFacts(r *verdict.Report) *junitProperties {
	p := &junitProperties{}
	for _, f := range facts(r) {
		p.Properties = append(p.Properties, junitProperty(f))
	}
	return p
}

// junitTime is d in seconds.
func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", max(0, d).Seconds()) }
