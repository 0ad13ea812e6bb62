package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/runvm/runvm/internal/console"
)

// escapes are the sequences by which programs steer a terminal.
const escapes = `\x1b(?:\[[0-9;:?<=>!]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])`

// plain is text that a guest wrote, without what steers a terminal and without
// control characters but newline and tab. Bytes that are no UTF-8 become "?".
func plain(s string) string {
	if strings.Contains(s, "\x1b") {
		s = regexp.MustCompile(escapes).ReplaceAllString(s, "")
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == 0xfffe, r == 0xffff, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
}

// line is one line of plain text, at most maxLine runes long.
func line(s string) string { return clean(strings.ReplaceAll(plain(s), "\n", " ")) }

// An excerpt is a bounded part of a log.
type excerpt struct {
	lines []numbered
	// left is how many lines of the part are left out in its middle.
	left int
}

// A numbered line of a log, counted from 1. Number 0 stands for lines left out.
type numbered struct {
	Number int
	Text   string
}

// Bounds of one excerpt.
const (
	excerptHead  = 260 // lines before those left out
	excerptTail  = 60  // lines after them
	contextLines = 4   // lines around a crash
)

// part is lines first to last of log, with those of the middle left out when
// they are too many.
func part(log []byte, first, last int) excerpt {
	var e excerpt
	first, last = max(1, first), max(first, last)
	skipFrom, skipTo := last+1, last+1
	if last-first+1 > excerptHead+excerptTail {
		skipFrom, skipTo = first+excerptHead, last-excerptTail+1
	}
	for n := 1; len(log) > 0 && n <= last; n++ {
		var raw []byte
		raw, log, _ = bytes.Cut(log, []byte("\n"))
		switch {
		case n < first, n > skipFrom && n < skipTo:
		case n == skipFrom && n < skipTo:
			e.left = skipTo - skipFrom
			e.lines = append(e.lines, numbered{Text: fmt.Sprintf("… %d lines left out …", e.left)})
		default:
			e.lines = append(e.lines, numbered{n, logLine(raw)})
		}
	}
	return e
}

// logLine is a line of a log as it is shown.
func logLine(raw []byte) string {
	const most = 4 * maxLine // bytes that maxLine runes can have
	text := strings.TrimRight(plain(string(raw[:min(len(raw), most)])), " \t")
	return text
}

// tail is the last n lines of log.
func tail(log []byte, n int) excerpt {
	last := bytes.Count(log, []byte("\n"))
	if len(log) > 0 && log[len(log)-1] != '\n' {
		last++
	}
	return part(log, last-n+1, last)
}

// text is the excerpt without numbers.
func (e excerpt) text() string {
	var b strings.Builder
	for _, l := range e.lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

// stack writes a crash's frames down, one a line; "" without frames that tell
// more than the log does.
func stack(frames []console.Frame, guilty console.Frame) string {
	var b strings.Builder
	told, found := false, false
	for _, f := range frames {
		told = told || f.Source != ""
		b.WriteString("  " + frame(f))
		if !found && f.Func == guilty.Func {
			b.WriteString("  <- here")
			found = true
		}
		b.WriteString("\n")
	}
	if !told {
		return ""
	}
	return b.String()
}

// frame is "fuse_copy_page+0x1/0x2 [fuse] fs/fuse/dev.c:902 (inlined) (patch x)".
func frame(f console.Frame) string {
	s := f.Func
	if s == "" {
		s = "0x" + f.Address
	}
	if f.Size > 0 {
		s += fmt.Sprintf("+0x%x/0x%x", f.Offset, f.Size)
	}
	for _, more := range []struct{ form, value string }{{" [%s]", f.Module}, {" %s", f.Source}, {" (patch %s)", f.Patch}} {
		if more.value != "" {
			s += fmt.Sprintf(more.form, more.value)
		}
	}
	if f.Inlined {
		s += " (inlined)"
	}
	if f.Guessed {
		s = "? " + s
	}
	return line(s)
}
