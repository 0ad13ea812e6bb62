package report

import (
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/runvm/runvm/internal/verdict"
)

// maxAnnotations is how many errors GitHub shows of one step.
const maxAnnotations = 10

// GitHub writes the workflow commands that make annotations of what is wrong.
func GitHub(w io.Writer, s Source) error {
	var b strings.Builder
	shown, left, never := 0, 0, 0
	for _, suite := range suites(s.Report) {
		for _, e := range suite.cases {
			switch {
			case flaky(e):
				fmt.Fprintf(&b, "::warning title=%s::%s\n", property(line("flaky: "+suite.name+" "+e.Name)), data(line(e.Reason)))
			case !wrong(e.Verdict), explained(suite.cases, e):
			case unreached(e):
				never++
			case shown == maxAnnotations:
				left++
			default:
				shown++
				annotate(&b, s.Report, suite, e)
			}
		}
	}
	for _, more := range []struct {
		n    int
		what string
	}{{left, "more in the summary"}, {never, "not reached"}} {
		if more.n > 0 {
			fmt.Fprintf(&b, "::warning title=runvm::%d %s\n", more.n, more.what)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// explained says that a subtest of e tells what is wrong with it.
func explained(cases []entry, e entry) bool {
	for _, other := range cases {
		if wrong(other.Verdict) && strings.HasPrefix(other.Name, e.Name+"/") {
			return true
		}
	}
	return false
}

// annotate writes one error, at the guilty line of the kernel where it is known.
func annotate(b *strings.Builder, r *verdict.Report, suite suite, e entry) {
	place := ""
	message := line(e.Reason)
	for _, c := range e.crashes {
		if file, number, ok := strings.Cut(c.Guilty.Source, ":"); ok && place == "" {
			place = fmt.Sprintf("file=%s,line=%s,", property(line(file)), property(line(number)))
		}
		if s := stack(c.Frames, c.Guilty); s != "" {
			message += "\n" + s
		}
	}
	for i := range r.Programs {
		if p := &r.Programs[i]; p.ID == suite.name {
			message += again(r, p)
		}
	}
	title := fmt.Sprintf("%s: %s %s", e.Verdict, suite.name, e.Name)
	fmt.Fprintf(b, "::error %stitle=%s::%s\n", place, property(line(title)), data(message))
}

// again is the line that says how to run what went wrong in p once more.
func again(r *verdict.Report, p *verdict.Program) string {
	if command := command(r, p); command != "" {
		return "\nagain: " + command
	}
	return ""
}

// data escapes the message of a workflow command.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// property escapes a property of a workflow command.
func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// Bounds of a summary: GitHub refuses one of more than 1 MiB.
const (
	maxSummaryRows    = 500
	maxSummaryDetails = 8
	maxSummaryText    = 32 << 10 // bytes of one detail
)

// Summary writes s as the Markdown of a step's summary.
func Summary(w io.Writer, s Source) error {
	r := s.Report
	var b strings.Builder
	fmt.Fprintf(&b, "## runvm: %s\n\n", r.Verdict)
	if r.Reason != "" {
		fmt.Fprintf(&b, "%s\n\n", markdown(line(r.Reason)))
	}
	if command := recipe(r); command != "" {
		fmt.Fprintf(&b, "<pre>%s</pre>\n\n", html.EscapeString(command))
	}
	b.WriteString("| | test | seconds | |\n|---|---|---:|---|\n")
	rows, passed := 0, 0
	for _, suite := range suites(r) {
		for _, e := range suite.cases {
			if e.Verdict == verdict.Pass && !flaky(e) {
				passed++
				continue
			}
			if rows++; rows <= maxSummaryRows {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.Verdict, markdown(line(suite.name+" "+e.Name)), junitTime(e.Elapsed), markdown(line(e.Reason)))
			}
		}
	}
	if rows > maxSummaryRows {
		fmt.Fprintf(&b, "| | and %d more | | |\n", rows-maxSummaryRows)
	}
	fmt.Fprintf(&b, "| pass | %d | | |\n\n", passed)
	details := 0
	for i, c := range r.Crashes {
		if details == maxSummaryDetails || c.Allowed != nil {
			continue
		}
		details++
		text := crashText(r.Crashes[i : i+1])
		fmt.Fprintf(&b, "<details><summary>%s</summary>\n\n<pre>%s</pre>\n\n</details>\n\n", html.EscapeString(line(c.Title)), html.EscapeString(text[:min(len(text), maxSummaryText)]))
	}
	for _, note := range allowed(s) {
		fmt.Fprintf(&b, "* %s\n", markdown(note))
	}
	for _, f := range facts(r) {
		fmt.Fprintf(&b, "* %s: %s\n", f.Name, markdown(f.Value))
	}
	_, err := io.WriteString(w, strings.ToValidUTF8(b.String(), "?"))
	return err
}

// markdown makes text of s that Markdown shows as it is, also in a table.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>()#+!|~&@", r) {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
