package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFramesTellTheirPlaces has every kind of frame there is.
func TestFramesTellTheirPlaces(t *testing.T) {
	const log = `[    1.000000] ==================================================================
[    1.000001] BUG: KASAN: slab-use-after-free in outer+0x10/0x30 [mod]
[    1.000002] Read of size 8 at addr ffff888005d41a28 by task reader/212
[    1.000003] Call Trace:
[    1.000004]  <IRQ>
[    1.000005]  ? guess+0x1/0x2
[    1.000006]  kasan_report+0xb9/0xf0
[    1.000007]  outer.constprop.0.cold+0x10/0x30 [mod]
[    1.000008]  0xffffffff81234567
[    1.000009]  asm_sysvec_apic_timer_interrupt+0x1a/0x20
[    1.000010]  </IRQ>
[    1.000011]  interrupted+0x2/0x30
[    1.000012]  caller+0x3/0x30
[    1.000013] Freed by task 212:
[    1.000014]  kfree+0x4/0x30
[    1.000015] ==================================================================
`
	crashes := Find([]byte(log))
	if len(crashes) != 1 {
		t.Fatalf("%d crashes", len(crashes))
	}
	want := []Frame{
		{Func: "kasan_report", Offset: 0xb9, Size: 0xf0, Line: 7},
		{Func: "outer", Symbol: "outer.constprop.0.cold", Offset: 0x10, Size: 0x30, Module: "mod", Line: 8},
		{Address: "ffffffff81234567", Line: 9},
		{Func: "asm_sysvec_apic_timer_interrupt", Offset: 0x1a, Size: 0x20, Line: 10},
		{Func: "interrupted", Offset: 0x2, Size: 0x30, Exact: true, Line: 12},
		{Func: "caller", Offset: 0x3, Size: 0x30, Line: 13},
	}
	if d := cmp.Diff(want, crashes[0].Frames); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
	others := []Stack{{Title: "Freed by task 212:", Frames: []Frame{{Func: "kfree", Offset: 4, Size: 0x30, Line: 15}}}}
	if d := cmp.Diff(others, crashes[0].Stacks); d != "" {
		t.Errorf("stacks (-want +got):\n%s", d)
	}
}

// TestFramesOfAKernelWithoutNames has nothing but addresses.
func TestFramesOfAKernelWithoutNames(t *testing.T) {
	const log = `[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
[    1.000001] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
[    1.000002] RIP: 0010:0xffffffff81234500
[    1.000003] Call Trace:
[    1.000004]  <TASK>
[    1.000005]  ? 0xffffffff81999999
[    1.000006]  0xffffffff81234567
[    1.000007]  [<ffffffff81234600>] 0xffffffff81234600
[    1.000008]  </TASK>
[    1.000009] RIP: 0033:0x401000
[    1.000010] ---[ end trace 0000000000000000 ]---
`
	crashes := Find([]byte(log))
	if len(crashes) != 1 {
		t.Fatalf("%d crashes", len(crashes))
	}
	want := []Frame{
		{Address: "ffffffff81234500", Exact: true, Line: 3},
		{Address: "ffffffff81234567", Line: 7},
		{Address: "ffffffff81234600", Line: 8},
	}
	if d := cmp.Diff(want, crashes[0].Frames); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
}

// WARN and BUG say themselves where they stand.
func TestPlaceOfAnAssertion(t *testing.T) {
	t.Parallel()
	for opener, want := range map[string]string{
		"WARNING: CPU: 0 PID: 36 at drivers/misc/lkdtm/bugs.c:112 f+0xa/0x10": "drivers/misc/lkdtm/bugs.c:112",
		"WARNING: ./include/linux/mm.h:12 at f+0xa/0x10, CPU#0: x/1":          "include/linux/mm.h:12",
		"kernel BUG at fs/fuse/dev.c:902!":                                    "fs/fuse/dev.c:902",
		"BUG: kernel NULL pointer dereference, address: 0000000000000000":     "",
	} {
		log := "[    1.000000] " + opener + "\n[    1.000001] RIP: 0010:f+0xa/0x10\n[    1.000002] Call Trace:\n[    1.000003]  g+0x1/0x2\n[    1.000004] ---[ end trace 0 ]---\n"
		c := Find([]byte(log))[0]
		if c.Guilty.Source != want || c.Frames[0].Source != want || c.Frames[1].Source != "" {
			t.Errorf("%s: guilty at %q, frames %+v", opener, c.Guilty.Source, c.Frames)
		}
	}
}
