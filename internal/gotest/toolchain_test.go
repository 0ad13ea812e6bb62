package gotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func toy(t *testing.T) *Toolchain {
	t.Helper()
	return &Toolchain{Cache: t.TempDir(), Dir: "testdata/toy"}
}

func TestListNamesPackagesWithTests(t *testing.T) {
	t.Parallel()
	pkgs, err := toy(t).List(t.Context(), []string{"./..."})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range pkgs {
		names = append(names, p.ImportPath)
	}
	if got := strings.Join(names, " "); got != "example.com/toy/bad example.com/toy/good" {
		t.Errorf("packages %s", got)
	}
	if _, err := toy(t).List(t.Context(), []string{"."}); !errors.Is(err, ErrNoPackages) {
		t.Errorf("a package without tests: %v", err)
	}
	if _, err := toy(t).List(t.Context(), []string{"./missing"}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a missing package: %q", err)
	}
}

func TestCompileNamesTheFaultyLine(t *testing.T) {
	t.Parallel()
	tc := toy(t)
	pkgs, err := tc.List(t.Context(), []string{"./bad"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tc.Compile(t.Context(), pkgs)
	var compile *CompileError
	if !errors.As(err, &compile) {
		t.Fatalf("error %v", err)
	}
	want := &CompileError{[]string{"example.com/toy/bad"}, []string{"bad/bad_test.go:5:30: undefined: undefined"}}
	if !reflect.DeepEqual(compile, want) {
		t.Errorf("%q", compile)
	}
}

// The plan is what the testing package itself would run, and the events are
// those of the go command's own converter.
func TestPlanAndEventsAreThoseOfGo(t *testing.T) {
	t.Parallel()
	tc := toy(t)
	pkgs, err := tc.List(t.Context(), []string{"./good"})
	if err != nil {
		t.Fatal(err)
	}
	bins, err := tc.Compile(t.Context(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Selection{
		{},
		{Run: "^TestP"},
		{Run: "Test/a|Example"},
		{Run: "Test[PF]a(ss|il)", Skip: "Fail"},
		{Skip: "TestParallel/a|Skip"},
		{Bench: ".", Run: "^$"},
		{Run: "Fuzz", Count: 2, Short: true},
	} {
		want := ran(t, bins[0].Path, s)
		got, err := s.Plan(pkgs[0])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: planned %q, Go ran %q", s, got, want)
		}
	}
	if _, err := (Selection{Run: "a[/b"}).Plan(pkgs[0]); err == nil {
		t.Error("no error for a broken expression")
	}
}

// ran runs a test binary, compares its events with those of the go command's
// converter and returns the top-level tests among them, sorted.
func ran(t *testing.T, binary string, s Selection) []string {
	t.Helper()
	cmd := exec.Command(binary, s.Flags()...)
	out, _ := cmd.CombinedOutput() // one of the tests fails
	var got []Event
	d := NewDecoder("p", func(e Event) { got = append(got, e) })
	_, _ = d.Write(out)
	d.Close(cmd.ProcessState.Success(), 0)
	want := converted(t, out)
	if g, w := results(got), results(want); !slices.Equal(g, w) {
		t.Errorf("%+v: events\n%q, of Go's converter\n%q", s, g, w)
	}
	var names []string
	for _, e := range got {
		if e.Action == ActionRun && !strings.Contains(e.Test, "/") && !slices.Contains(names, e.Test) {
			names = append(names, e.Test)
		}
	}
	slices.Sort(names)
	return names
}

// converted is what `go tool test2json` makes of out.
func converted(t *testing.T, out []byte) []Event {
	t.Helper()
	cmd := exec.Command("go", "tool", "test2json", "-p", "p")
	cmd.Stdin = bytes.NewReader(out)
	cmd.Env = os.Environ()
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// results are the events as lines, output of one test joined, without what
// may differ: the last event, which takes the exit code, and how output is
// cut. Go's converter holds a test's result back until the next line.
func results(events []Event) []string {
	var lines []string
	for _, e := range events[:len(events)-1] {
		line := e.Action + " " + e.Test + ": " + e.Output
		last := len(lines) - 1
		if e.Action == ActionOutput && last >= 0 && strings.HasPrefix(lines[last], ActionOutput+" "+e.Test+": ") {
			lines[last] += e.Output
			continue
		}
		lines = append(lines, line)
	}
	return lines
}
