package console

import (
	"strings"
	"testing"
)

const askedIdle = `[   14.692822] sysrq: Show backtrace of all active CPUs
[   14.693770] NMI backtrace for cpu 0
[   14.694222] CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Not tainted 6.12.117 #runvm-2fcd707c4ab1
[   14.694703] Call Trace:
[   14.695633]  <IRQ>
[   14.695841]  dump_stack_lvl+0x4f/0x60
[   14.697063]  common_interrupt+0x74/0xa0
[   14.697259]  </IRQ>
[   14.697528] RIP: 0010:pv_native_safe_halt+0x13/0x20
[   14.699025]  default_idle+0x5/0x10
[   14.699367]  </TASK>
`

const askedBlocked = `[   15.595400] sysrq: Show Blocked State
[   15.595831] task:fuse.test       state:D stack:0     pid:37    tgid:37    ppid:1      flags:0x00000000
[   15.596307] Call Trace:
[   15.596428]  <TASK>
[   15.596478]  __schedule+0x2c4/0x650
[   15.596571]  schedule+0x1b/0xb0
[   15.596632]  __mutex_lock+0x15/0x20
[   15.596753]  fuse_own+0x10/0x20
[   15.597249]  do_syscall_64+0x37/0xb0
[   15.597405] RIP: 0033:0x408fee
[   15.597500] task:other           state:D stack:0     pid:38    tgid:38    ppid:1      flags:0x00000000
[   15.597510]  __schedule+0x2c4/0x650
[   15.597520]  request_wait_answer+0x1/0x2
`

const askedLocks = `[   16.000000] sysrq: Show Locks Held
[   16.000001]
[   16.000001] Showing all locks held in the system:
[   16.000002] 2 locks held by fuse.test/37:
[   16.000003]  #0: ffff888004f1a0b8 (&f->f_pos_lock){+.+.}-{3:3}, at: fdget_pos+0x50/0x60
[   16.000004]  #1: ffff888004f1a0b8 (&fc->lock){+.+.}-{3:3}, at: fuse_own+0x10/0x20
[   16.000005] 1 lock held by holder/40:
[   16.000006]  #0: ffff888004f1a0b8 (&fc->lock){+.+.}-{3:3}, at: fuse_take+0x1/0x2
`

const askedState = `[   17.307433] sysrq: Show State
[   17.308273] task:init            state:S stack:0     pid:1     tgid:1     ppid:0      flags:0x00000000
[   17.309447]  __schedule+0x2c4/0x650
[   17.309706]  __futex_wait+0x134/0x1a0
[   17.310197]  do_futex+0x94/0x120
[   17.308273] task:a-name-of-15-by state:S stack:0     pid:37    tgid:37    ppid:1      flags:0x00000000
[   17.309447]  __schedule+0x2c4/0x650
[   17.309557]  schedule+0x1b/0xb0
[   17.309706]  anon_pipe_read+0x134/0x1a0
`

const askedNMI = `[   13.412418] Uhhuh. NMI received for unknown reason 21 on CPU 0.
[   13.424986] Kernel panic - not syncing: NMI: Not continuing
[   13.425510] CPU: 0 UID: 0 PID: 37 Comm: hg.test Not tainted 6.12.117 #runvm-2fcd707c4ab1
[   13.425975] Call Trace:
[   13.429250]  <NMI>
[   13.429473]  panic+0x2e3/0x300
[   13.432819]  end_repeat_nmi+0xf/0x18
[   13.433107] RIP: 0010:lkdtm_HARDLOCKUP+0x3/0x10
[   13.442914]  ? lkdtm_SOFTLOCKUP+0x10/0x10
[   13.443152]  </NMI>
[   13.443190]  <TASK>
[   13.443198]  lkdtm_do_action+0x10/0x20
[   13.443362]  entry_SYSCALL_64_after_hwframe+0x4b/0x53
[   13.443383] RIP: 0033:0x408fee
`

// The interrupt found the task outside of the kernel, on its own stack.
const askedLoop = `[   14.693770] NMI backtrace for cpu 0
[   14.694222] CPU: 0 UID: 0 PID: 39 Comm: loop.test Not tainted 6.12.117 #runvm
[   14.697301]  <TASK>
[   14.695841]  dump_stack_lvl+0x4f/0x60
[   14.695841]  __handle_sysrq+0x4f/0x60
[   14.697313]  asm_common_interrupt+0x22/0x40
[   14.697528] RIP: 0033:0x408fee
`

const askedUser = `[   14.693770] NMI backtrace for cpu 0
[   14.694222] CPU: 0 UID: 0 PID: 39 Comm: loop.test Not tainted 6.12.117 #runvm
[   14.695633]  <IRQ>
[   14.695841]  dump_stack_lvl+0x4f/0x60
[   14.697259]  </IRQ>
[   14.697301]  <TASK>
[   14.697313]  asm_common_interrupt+0x22/0x40
[   14.697528] RIP: 0033:0x408fee
[   14.697600]  </TASK>
`

func TestExplainSaysWhatAGuestIsStuckIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ log, program, want string }{
		"lock":           {askedIdle + askedBlocked + askedLocks + askedState, "fuse.test", "other (pid 38) is blocked in request_wait_answer; 1 more are blocked"},
		"waits for lock": {strings.ReplaceAll(askedBlocked, "request_wait_answer", "__mutex_lock") + askedLocks, "fuse.test", "fuse.test (pid 37) is blocked in fuse_own, waits for &fc->lock, which holder (pid 40) holds; 1 more are blocked"},
		"holds a lock":   {strings.ReplaceAll(askedBlocked+askedLocks, "holder/40", "other/38"), "fuse.test", "other (pid 38) is blocked in request_wait_answer, holds &fc->lock, for which fuse.test (pid 37) waits; 1 more are blocked"},
		"no locks":       {askedIdle + askedBlocked + askedState, "fuse.test", "other (pid 38) is blocked in request_wait_answer; 1 more are blocked"},
		"asleep":         {askedIdle + askedState, "a-name-of-15-bytes-or-more", "no task is blocked; a-name-of-15-bytes-or-more sleeps in anon_pipe_read"},
		"waits":          {strings.ReplaceAll(askedBlocked, "fuse_own", "own_lock"), "fuse.test", "other (pid 38) is blocked in request_wait_answer; 1 more are blocked"},
		"deaf":           {askedNMI, "hg.test", "hg.test (pid 37) runs in lkdtm_HARDLOCKUP with interrupts off"},
		"user":           {askedUser + askedState, "loop.test", "loop.test (pid 39) runs outside of the kernel"},
		"loop":           {askedLoop, "loop.test", "loop.test (pid 39) runs outside of the kernel"},
		"busy":           {strings.ReplaceAll(askedLoop, "0033:0x408fee", "0010:spin+0x1/0x2"), "loop.test", "loop.test (pid 39) runs in spin"},
		"echo":           {askedIdle + askedBlocked + "^@" + askedState, "fuse.test", "other (pid 38) is blocked in request_wait_answer; 1 more are blocked"},
		"unknown":        {askedIdle + askedState, "gone", ""},
	} {
		s := Explain([]byte(c.log))
		if s == nil {
			t.Errorf("%s: nothing found", name)
		} else if got := s.Why(c.program); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if s := Explain([]byte("[    1.000000] nothing\n" + askedIdle)); s != nil {
		t.Errorf("%+v of an idle guest that said nothing else", s)
	}
}

func FuzzExplain(f *testing.F) {
	for _, log := range []string{askedIdle, askedBlocked, askedLocks, askedState, askedNMI, askedUser} {
		f.Add([]byte(log))
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		s := Explain(log)
		if s == nil {
			return
		}
		if len(s.Tasks) > maxTasks || len(s.Held) > maxHeld || strings.Contains(s.Why("x"), "\n") {
			t.Errorf("%d tasks, %d locks, %q", len(s.Tasks), len(s.Held), s.Why("x"))
		}
	})
}
