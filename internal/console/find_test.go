package console

import (
	"strings"
	"testing"
)

// The panic that an oops leads to tells nothing new, however late it comes.
func TestAftermathIsNoCrashOfItsOwn(t *testing.T) {
	t.Parallel()
	const oops = "[    1.000000] BUG: kernel NULL pointer dereference, address: 0\n[    1.000000] RIP: 0010:f+0x1/0x2\n" +
		"[    1.000000] Call Trace:\n[    1.000000]  g+0x1/0x2\n[    1.000000] ---[ end trace 0000000000000000 ]---\n"
	const panicked = "[    9.000000] Kernel panic - not syncing: Fatal exception\n[    9.000000] Call Trace:\n[    9.000000]  panic+0x1/0x2\n[    9.000000]  h+0x1/0x2\n"
	between := strings.Repeat("[    2.000000] fuse: a message\n", 3*near)
	for _, words := range []string{"Fatal exception", "Hard LOCKUP", "softlockup: hung tasks"} {
		log := oops + between + strings.Replace(panicked, "Fatal exception", words, 1)
		if got := Find([]byte(log)); len(got) != 1 {
			t.Errorf("%s: %d crashes, want the oops alone", words, len(got))
		}
	}
	got := Find([]byte(panicked))
	if len(got) != 1 || !got[0].Corrupted {
		t.Errorf("a panic without its cause: %+v", got)
	}
}

// A panic long after a complaint that did not cause it is a crash.
func TestLaterPanicIsACrash(t *testing.T) {
	t.Parallel()
	log := "[    1.000000] BUG: scheduling while atomic: x\n[    1.000000] Call Trace:\n[    1.000000]  f+0x1/0x2\n[    1.000000]  ====================\n" +
		strings.Repeat("[    2.000000] fuse: a message\n", 3*near) +
		"[    9.000000] Kernel panic - not syncing: sysrq triggered crash\n"
	if got := Find([]byte(log)); len(got) != 2 || got[1].Title != "kernel panic: sysrq triggered crash" {
		t.Errorf("got %+v", got)
	}
}
