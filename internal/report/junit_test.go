package report

import (
	"encoding/xml"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// junitRules are those of the schema that Jenkins' xUnit plug-in checks
// (junit-10.xsd): what may stand in an element, and its attributes; "!" marks
// those that must be there.
func junitRules() map[string][2]string {
	return map[string][2]string{
		"testsuites": {"testsuite", "name time tests failures errors"},
		"testsuite":  {"testsuite properties testcase system-out system-err", "name! tests! failures! errors! group time skipped timestamp hostname id package file log url"},
		"properties": {"property", ""},
		"property":   {"", "name! value!"},
		"testcase":   {"skipped error failure rerunFailure rerunError flakyFailure flakyError system-out system-err", "name! time classname group"},
		"failure":    {"", "type message"},

		"flakyFailure": {"stackTrace system-out system-err", "message type!"},
		"error":        {"", "type message"},
		"skipped":      {"", "type message"},
		"system-out":   {"", ""},
	}
}

// checkJUnit holds a document against junitRules and its own counts.
func checkJUnit(t *testing.T, doc string) {
	t.Helper()
	var open []string
	var suite map[string]string
	seen := map[string]int{}
	for dec := xml.NewDecoder(strings.NewReader(doc)); ; {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			if len(open) > 0 && !word(junitRules()[open[len(open)-1]][0], name) {
				t.Errorf("<%s> in <%s>", name, open[len(open)-1])
			}
			attributes := checkAttributes(t, e)
			if name == "testsuite" {
				suite, seen = attributes, map[string]int{}
			}
			seen[name]++
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
			if e.Name.Local == "testsuite" {
				checkCounts(t, suite, seen)
			}
		}
	}
}

func word(list, name string) bool { return strings.Contains(" "+list+" ", " "+name+" ") }

func checkAttributes(t *testing.T, e xml.StartElement) map[string]string {
	t.Helper()
	rules, ok := junitRules()[e.Name.Local]
	if !ok {
		t.Errorf("<%s> is not in the schema", e.Name.Local)
	}
	has := map[string]string{}
	for _, a := range e.Attr {
		has[a.Name.Local] = a.Value
		if !word(strings.ReplaceAll(rules[1], "!", ""), a.Name.Local) {
			t.Errorf("<%s %s=…> is not in the schema", e.Name.Local, a.Name.Local)
		}
		if a.Name.Local == "time" && !regexp.MustCompile(`^(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?$`).MatchString(a.Value) {
			t.Errorf("<%s time=%q>", e.Name.Local, a.Value)
		}
	}
	for _, name := range strings.Fields(rules[1]) {
		if must, ok := strings.CutSuffix(name, "!"); ok {
			if _, there := has[must]; !there {
				t.Errorf("<%s> without %s", e.Name.Local, must)
			}
		}
	}
	return has
}

func checkCounts(t *testing.T, suite map[string]string, seen map[string]int) {
	t.Helper()
	for attribute, element := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
		if suite[attribute] != strconv.Itoa(seen[element]) {
			t.Errorf("suite %s: %s=%s, %d <%s>", suite["name"], attribute, suite[attribute], seen[element], element)
		}
	}
}

func TestJUnitKeepsTheSchema(t *testing.T) {
	t.Parallel()
	for _, run := range []string{"crash", "fail", "pass"} {
		checkJUnit(t, render(t, "junit.xml", recorded(t, run)))
	}
	checkJUnit(t, render(t, "junit.xml", hostile()))
	checkJUnit(t, render(t, "junit.xml", Source{Report: silent()}))
}

func TestJUnitTellsErrorsFromFailures(t *testing.T) {
	t.Parallel()
	crash := render(t, "junit.xml", recorded(t, "crash"))
	for _, want := range []string{`<error message="WARNING in lkdtm_WARNING" type="crash">`, `<error message="not reached" type="incomplete">`, "Call Trace:", "<system-out>"} {
		if !strings.Contains(crash, want) {
			t.Errorf("no %s", want)
		}
	}
	fail := render(t, "junit.xml", recorded(t, "fail"))
	for _, want := range []string{`<failure message="splice_test.c:41`, `<skipped message="no /dev/cuse">`} {
		if !strings.Contains(fail, want) {
			t.Errorf("no %s", want)
		}
	}
}
