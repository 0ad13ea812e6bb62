package verdict

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/ktap"
)

// KernelLog is the ID of the program that stands for tests the kernel runs
// itself and tells of in its log, as KUnit does.
const KernelLog = "kernel log"

// kernelTests is where on the console the kernel's own tests are. KUnit says
// that a suite begins, and of a test only how it ended.
type kernelTests struct {
	first, last int    // lines, from 1; 0 and 0 where there are none
	ends        []mark // of tests without subtests, each at its result
	open        string // the suite without a result, "" when there is none
}

// kernelLog adds the program KernelLog where the console has results of the
// kernel's own tests, or ought to have.
func (j *judge) kernelLog() {
	doc, first := kernelDocument(j.in.Console)
	p := Program{ID: KernelLog, Verdict: Pass, Reached: doc != nil}
	switch {
	case doc != nil:
		j.kernel = kernelTests{first: first, last: first + doc.Line - 1}
		j.kernel.find("", doc.Tests)
		p.tap(doc, nil)
		if j.in.KUnit != "" && len(p.Tests) == 0 && p.Verdict == Skipped {
			p.Reason = "no test of the kernel's own matches -kunit " + clip(j.in.KUnit, maxReason)
		}
		p.Elapsed = between(j.in.Console, j.kernel.first, j.kernel.last)
	case j.in.KUnit != "":
		p.worsen(Incomplete, fmt.Sprintf("no result of KUnit on the console, and -kunit %s wants some: is CONFIG_KUNIT=y, with suites, and does the kernel get that far?", clip(j.in.KUnit, maxReason)))
	default:
		return
	}
	j.report.Programs = append(j.report.Programs, p)
}

// kernelDocument is what a console log says in the protocol of KUnit, and the
// line it begins in, from 1; nil when there is none.
func kernelDocument(log []byte) (doc *ktap.Document, first int) {
	if !bytes.Contains(log, []byte("TAP version ")) {
		return nil, 0
	}
	r := ktap.Reader{Restarts: true}
	for n := 1; len(log) > 0; n++ {
		var raw []byte
		raw, log, _ = bytes.Cut(log, []byte("\n"))
		line := console.Message(raw)
		if first == 0 && ktap.IsVersion(string(line[:min(len(line), ktap.MaxLine)])) {
			first = n
		}
		if first > 0 {
			_, _ = r.Write(append(bytes.Clone(line), '\n'))
		}
	}
	return r.Close(), first
}

// find notes where tests, which are below parent, ended.
func (k *kernelTests) find(parent string, tests []ktap.Test) {
	for _, t := range tests {
		name := parent + t.Name
		k.find(name+"/", t.Tests)
		switch {
		case t.Line == 0 && parent == "" && t.Why == ktap.NeverEnded:
			k.open = name
		case t.Line > 0 && len(t.Tests) == 0:
			k.ends = append(k.ends, mark{line: k.first + t.Line - 1, program: KernelLog, test: name})
		}
	}
}

// running is the test of the kernel's own that ran at a line of the console
// where no program did: the next to end, else the suite that never did.
func (k *kernelTests) running(line int) (m mark, ok bool) {
	if k.first == 0 || line < k.first || line > k.last && k.open == "" {
		return mark{}, false
	}
	for _, end := range k.ends {
		if end.line > line {
			return end, true
		}
	}
	return mark{program: KernelLog, test: k.open}, true
}

// stamped is a line of a guest's console, with its seconds since boot.
var stamped = regexp.MustCompile(`^\[ *([0-9]{1,9}\.[0-9]{1,9})\]`)

// between is the kernel's time from line first of log to line last, 0 where
// they have no time stamps.
func between(log []byte, first, last int) time.Duration {
	var stamps [2]float64
	for n := 1; n <= last && len(log) > 0; n++ {
		var raw []byte
		raw, log, _ = bytes.Cut(log, []byte("\n"))
		if n != first && n != last {
			continue
		}
		found := stamped.FindSubmatch(raw)
		if found == nil {
			return 0
		}
		seconds, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			return 0
		}
		if n == first {
			stamps[0] = seconds
		}
		stamps[1] = seconds
	}
	return max(0, time.Duration((stamps[1]-stamps[0])*float64(time.Second))).Round(time.Microsecond)
}
