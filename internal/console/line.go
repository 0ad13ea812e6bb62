package console

import (
	"bytes"
	"regexp"
)

// A line is one line of the log taken apart.
type line struct {
	n       int    // counted from 1
	text    []byte // without what printk and the terminal put before it
	context context
	second  int // of the time stamp, -1 without one
}

// A context is who printed a line, as CONFIG_PRINTK_CALLER tells it: a number
// of a task or CPU and, in the upper byte, 'T' or 'C'.
type context uint64

const (
	unstamped context = 0 // a line without a time stamp
	console   context = 1 // a line with nothing but a time stamp

	letterShift = 56
)

// cpu says that the line comes from an interrupt on a CPU.
func (c context) cpu() bool { return c>>letterShift == 'C' }

// shared says that lines of all tasks and CPUs look like this one.
func (c context) shared() bool { return c <= console }

// maxPrefix is how far into a line its time stamp is looked for, in bytes.
const maxPrefix = 160

// maxLine bounds the part of a line that is looked at, in bytes.
const maxLine = 4 << 10

// split takes a raw line apart. The time stamp may follow other output that
// did not end its line: a login prompt, "** 12 printk messages dropped **".
func split(n int, raw []byte) line {
	raw = bytes.TrimRight(raw[:min(len(raw), maxLine)], "\r\n")
	start, end, second := stamp(raw[:min(len(raw), maxPrefix)])
	if start < 0 || !prompt(raw[:start]) {
		if date := dated.Find(raw[:min(len(raw), maxPrefix)]); date != nil {
			return line{n: n, text: raw[len(date):], context: console, second: -1}
		}
		return line{n: n, text: raw, second: -1}
	}
	l := line{n: n, context: console, second: second}
	if c, size := caller(raw[end:]); size > 0 {
		l.context, end = c, end+size
	}
	l.text = bytes.TrimPrefix(raw[end:], []byte(" "))
	return l
}

// dated is what loggers put before a message in place of its time stamp:
// "Nov 25 22:00:00 host kernel: " (journalctl, syslog), the same with a date of
// RFC 3339, "[Wed Nov 25 22:00:00 2026] " (dmesg -T).
var dated = regexp.MustCompile(`^(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}[0-9:.,+Z-]*) [^ ]+ kernel: |` +
	`^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}\] `)

// prompt says that a time stamp may follow p: nothing, a log level, or output
// of programs and loggers, as opposed to the middle of a kernel message.
func prompt(p []byte) bool {
	p = bytes.TrimRight(p, " ")
	if len(p) == 0 {
		return true
	}
	switch p[len(p)-1] {
	case ':', '>', '*', '#', '$', ')':
		return true
	}
	return false
}

// stamp finds the first "[  123.456789]" in s: its bounds, -1 when there is
// none, and its seconds.
func stamp(s []byte) (start, end, second int) {
	for from := 0; ; {
		i := bytes.IndexByte(s[from:], '[')
		if i < 0 {
			return -1, -1, -1
		}
		start = from + i
		if size, second := clock(s[start+1:]); size > 0 {
			return start, start + 1 + size, second
		}
		from = start + 1
	}
}

// clock reads "  123.456789]" and returns its size, 0 when s is not one.
func clock(s []byte) (size, second int) {
	i := 0
	for i < len(s) && s[i] == ' ' {
		i++
	}
	digits := 0
	for ; i < len(s) && isDigit(s[i]) && digits < 9; i++ {
		second = second*10 + int(s[i]-'0')
		digits++
	}
	if digits == 0 || i >= len(s) || s[i] != '.' {
		return 0, 0
	}
	for i++; i < len(s) && isDigit(s[i]); i++ {
		digits++
	}
	if digits < 4 || i >= len(s) || s[i] != ']' {
		return 0, 0
	}
	return i + 1, second
}

// caller reads "[ T123]" or "[    C0]", what CONFIG_PRINTK_CALLER adds.
func caller(s []byte) (c context, size int) {
	if len(s) == 0 || s[0] != '[' {
		return 0, 0
	}
	end := bytes.IndexByte(s[:min(len(s), 16)], ']')
	if end < 0 {
		return 0, 0
	}
	who := bytes.TrimSpace(s[1:end])
	if len(who) < 2 || who[0] != 'T' && who[0] != 'C' {
		return 0, 0
	}
	for _, d := range who[1:] {
		if !isDigit(d) {
			return 0, 0
		}
		c = 10*c + context(d-'0')
	}
	return c | context(who[0])<<letterShift, end + 1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Message returns the message of a line of the console, without the log
// level, the time stamp and the number of the task or CPU before it.
func Message(raw []byte) []byte { return split(0, raw).text }

// A scanner hands out the lines of a log.
type scanner struct {
	rest []byte
	n    int
}

// skip leaves out the lines that end before the n-th byte from here.
func (s *scanner) skip(n int) {
	s.n += bytes.Count(s.rest[:n], []byte("\n"))
	s.rest = s.rest[bytes.LastIndexByte(s.rest[:n], '\n')+1:]
}

func (s *scanner) next() (raw []byte, ok bool) {
	if len(s.rest) == 0 {
		return nil, false
	}
	s.n++
	raw, s.rest, _ = bytes.Cut(s.rest, []byte("\n"))
	return raw, true
}
