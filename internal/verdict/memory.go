package verdict

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/runvm/runvm/internal/console"
)

// oomKill is how mm/oom_kill.c says whom it has killed.
var oomKill = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:Out of memory|Memory cgroup out of memory).*: Killed process \d+ \((.{1,15}?)\)`)
})

// outOfMemory explains programs and tests that the kernel killed because the
// guest's memory was full. That alone is no complaint: somebody took it.
func (j *judge) outOfMemory() {
	if !bytes.Contains(j.in.Console, []byte("Killed process")) {
		return
	}
	all, _ := marks(j.in.Console, j.traces)
	n, killed := 0, oomKill()
	for line := range bytes.Lines(j.in.Console) {
		n++
		m := killed.FindSubmatch(console.Message(bytes.TrimRight(line, "\r\n")))
		if m == nil {
			continue
		}
		at := j.running(all, n)
		for i := range j.report.Programs {
			if p := &j.report.Programs[i]; p.ID == at.program {
				p.killed(at.test, j.full(string(m[1])))
			}
		}
	}
}

// full is the sentence for a process that was killed.
func (j *judge) full(name string) string {
	size := ""
	if mib := j.in.Run.Machine.MemoryMiB; mib > 0 {
		size = fmt.Sprintf(" of %d MiB", mib)
	}
	return clip(fmt.Sprintf("the guest's memory%s was full: the kernel killed %s (-memory gives it more)", size, strings.ToValidUTF8(name, "?")), maxReason)
}

// killed gives a program, and its test, that did not end well the reason.
func (p *Program) killed(test, reason string) {
	if p.Verdict != Incomplete && p.Verdict != Fail {
		return
	}
	p.Reason = join(test, reason)
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Name == test && (t.Verdict == Incomplete || t.Verdict == Fail) {
			t.Reason = reason
		}
	}
}
