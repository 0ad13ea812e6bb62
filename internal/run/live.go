package run

import (
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/wire"
)

// live returns what shows results as they arrive: with -v all that the tests
// write, else a line for each test that ended and the figures of benchmarks.
func (c *Conductor) live(sel gotest.Selection) func(gotest.Event, wire.Record) {
	if c.Out == nil {
		return func(gotest.Event, wire.Record) {}
	}
	if sel.Verbose {
		return func(e gotest.Event, rec wire.Record) { verbose(c.Out, e, rec) }
	}
	return func(e gotest.Event, _ wire.Record) { terse(c.Out, e) }
}

func verbose(w io.Writer, e gotest.Event, rec wire.Record) {
	switch {
	case e.Action == gotest.ActionOutput:
		io.WriteString(w, Printable(e.Output))
	case e.Action == "" && rec.Type == wire.Start:
		fmt.Fprintf(w, "=== %s\n", Printable(rec.ID))
	case e.Action == "" && rec.Type == wire.Out:
		io.WriteString(w, Printable(string(rec.Bytes())))
	}
}

func terse(w io.Writer, e gotest.Event) {
	switch {
	case e.Action == gotest.ActionOutput && strings.Contains(e.Output, " ns/op"):
		io.WriteString(w, Printable(e.Output))
	case e.Test == "" || strings.Contains(e.Test, "/"):
	case e.Action == gotest.ActionPass || e.Action == gotest.ActionFail || e.Action == gotest.ActionSkip:
		fmt.Fprintf(w, "  %-5s %s %s %.2f s\n", e.Action, path.Base(e.Package), Printable(e.Test), e.Elapsed)
	}
}

// Printable returns s with control characters but tab and newline replaced:
// what a guest writes must not steer the user's terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
