package gotest

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mark is the byte that -test.v=test2json puts before the lines that the
// testing package writes itself.
const mark = 0x16

// maxHeld bounds an output event, in bytes: a longer line comes in several.
const maxHeld = 32 << 10

// A Decoder turns the output of a test binary started with Selection.Flags
// into the events that `go test -json` would print. It is a pure function of
// what is written to it: it stamps no time, and how the output was cut into
// writes makes no difference.
type Decoder struct {
	emit    func(Event)
	pkg     string
	test    string // whose output comes
	line    []byte // what has come of the current line
	started bool
}

// NewDecoder returns a Decoder that calls emit with each event of package pkg.
func NewDecoder(pkg string, emit func(Event)) *Decoder { return &Decoder{emit: emit, pkg: pkg} }

// Write takes the next bytes of output. It never fails.
func (d *Decoder) Write(p []byte) (int, error) {
	d.start()
	n := len(p)
	for len(p) > 0 {
		part, end := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			part, end = p[:i+1], true
		}
		p = p[len(part):]
		d.add(part)
		if end {
			d.flush()
		}
	}
	return n, nil
}

// add appends part of a line, byte order kept, in pieces of maxHeld at most.
func (d *Decoder) add(part []byte) {
	for len(part) > 0 {
		room := min(maxHeld-len(d.line), len(part))
		d.line = append(d.line, part[:room]...)
		part = part[room:]
		if len(d.line) == maxHeld {
			d.flush()
		}
	}
}

// Close flushes what is held and emits the package's last event, from the
// binary's exit: passed is exit code 0, elapsed in seconds. Tests that are
// still open, as after a panic, get no event.
func (d *Decoder) Close(passed bool, elapsed float64) {
	d.start()
	d.flush()
	action := ActionFail
	if passed {
		action = ActionPass
	}
	d.event(Event{Action: action, Elapsed: elapsed})
}

func (d *Decoder) start() {
	if !d.started {
		d.started = true
		d.event(Event{Action: ActionStart})
	}
}

func (d *Decoder) event(e Event) {
	e.Package = d.pkg
	e.Test, e.Output = valid(e.Test), valid(e.Output)
	d.emit(e)
}

// valid replaces every byte of s that is not UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (d *Decoder) output(test string, text []byte) {
	if len(text) > 0 {
		d.event(Event{Action: ActionOutput, Test: test, Output: string(text)})
	}
}

// flush handles what is held of a line. A test may write a mark of its own;
// only those before a line of the testing package count.
func (d *Decoder) flush() {
	line := d.line
	from := 0
	for from < len(line) {
		i := bytes.IndexByte(line[from:], mark)
		if i < 0 {
			break
		}
		i += from
		if d.marked(line[:i], line[i+1:]) {
			line = nil
			break
		}
		from = i + 1
	}
	d.output(d.test, line)
	d.line = d.line[:0]
}

// marked handles a line of the testing package and the output before it.
func (d *Decoder) marked(before, line []byte) bool {
	text := string(bytes.TrimRight(line, "\r\n"))
	if action, name, ok := announcement(text); ok {
		d.output(d.test, before)
		d.test = name
		switch action {
		case "": // NAME only says whose output comes
		case ActionPause: // as Go has it: first what is shown, then the pause
			d.output(name, line)
			d.event(Event{Action: action, Test: name})
		default:
			d.event(Event{Action: action, Test: name})
			d.output(name, line)
		}
		return true
	}
	if action, name, elapsed, ok := result(text); ok {
		d.output(d.test, before)
		d.output(name, line)
		d.event(Event{Action: action, Test: name, Elapsed: elapsed})
		d.test = name
		return true
	}
	switch {
	case text == "PASS" || text == "FAIL":
		d.output(d.test, before)
		d.test = ""
	case strings.HasPrefix(text, "=== "): // an attribute: nothing that runvm tells about
		d.output(d.test, before)
	default:
		return false
	}
	d.output(d.test, line)
	return true
}

// announcement reads "=== RUN   TestX".
func announcement(text string) (action, name string, ok bool) {
	word, name, ok := strings.Cut(strings.TrimPrefix(text, "=== "), " ")
	if !ok || !strings.HasPrefix(text, "=== ") {
		return "", "", false
	}
	name = strings.TrimSpace(name)
	switch word {
	case "RUN":
		action = ActionRun
	case "PAUSE":
		action = ActionPause
	case "CONT":
		action = ActionCont
	case "NAME":
		return "", name, true
	default:
		return "", "", false
	}
	return action, name, name != ""
}

// result reads "--- PASS: TestX (0.02s)".
func result(text string) (action, name string, elapsed float64, ok bool) {
	word, rest, ok := strings.Cut(strings.TrimPrefix(text, "--- "), ": ")
	if !ok || !strings.HasPrefix(text, "--- ") {
		return "", "", 0, false
	}
	switch word {
	case "PASS":
		action = ActionPass
	case "FAIL":
		action = ActionFail
	case "SKIP":
		action = ActionSkip
	case "BENCH":
		action = ActionBench
	default:
		return "", "", 0, false
	}
	name, took, _ := strings.Cut(rest, " (")
	return action, name, seconds(strings.TrimSuffix(took, "s)")), name != ""
}

// seconds reads a duration; what is none, or no number that JSON has, is 0.
func seconds(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}
