package vm

import (
	"strings"
	"testing"
	"time"
)

// A guest that ran out of time is asked by sysrq, by an NMI when it does not
// answer, and its registers are read when that does not help either.
func TestRunAsksAGuestThatRanOutOfTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ scene, console, registers string }{
		{"answers", "busy\nanswer l\nanswer w\nanswer d\nanswer t\n", ""},
		{"is deaf", "busy\nanswer -\n", ""},
		{"is dead", "busy\n", "CPU#0\r\nRAX=0 RIP=ffffffff81000000"},
	} {
		t.Run(c.scene, func(t *testing.T) {
			t.Parallel()
			got := boot(t, standIn(t, c.scene), Options{Silence: time.Second, Ask: true})
			if got.Reason != Silence || got.console.String() != c.console || got.Registers != c.registers {
				t.Errorf("ended by %s, console %q, registers %q", got.Reason, got.console.String(), got.Registers)
			}
			answered := strings.Contains(c.console, "answer")
			if want := int64(len("busy\n")); answered && got.Asked != want || !answered && got.Asked != 0 {
				t.Errorf("asked at byte %d of %q", got.Asked, got.console.String())
			}
		})
	}
}
