package console

import "testing"

func TestSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		raw, text string
		context   context
		second    int
	}{
		{"[    1.234567] fuse: init", "fuse: init", console, 1},
		{"[   77.234567][ T2742] fuse: init\r", "fuse: init", 'T'<<letterShift + 2742, 77},
		{"[   77.234567][    C0]  f+0x1/0x2", " f+0x1/0x2", 'C' << letterShift, 77},
		{"<6>[   85.501187] text", "text", console, 85},
		{"host login: [   85.501187] text", "text", console, 85},
		{"** 12 printk messages dropped ** [   85.501187] text", "text", console, 85},
		{"Nov 22 10:00:00 host kernel: [   85.501187] text", "text", console, 85},
		{"fault: 0000 [#1] [   85.501187] audit", "fault: 0000 [#1] [   85.501187] audit", unstamped, -1},
		{"no stamp [1] [2.] [x]", "no stamp [1] [2.] [x]", unstamped, -1},
		{"[    1.234567][bracket] text", "[bracket] text", console, 1},
		{"", "", unstamped, -1},
	}
	for _, test := range tests {
		l := split(1, []byte(test.raw))
		if string(l.text) != test.text || l.context != test.context || l.second != test.second {
			t.Errorf("%q: %q, %x, %d", test.raw, l.text, l.context, l.second)
		}
	}
}

func TestParseFrame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, function, module string
		sure                   bool
	}{
		{" fuse_copy_page+0x3a1/0x8c0", "fuse_copy_page", "", true},
		{" ? fuse_copy_page.isra.0+0x3a1/0x8c0 [fuse]", "fuse_copy_page", "fuse", false},
		{" [<ffffffff82d4e304>] __memset+0x24/0x30", "__memset", "", true},
		{"[c00000003ae5b800] [c00000000135c19c] dump_stack+0x128/0x1cc (unreliable)", "dump_stack", "", false},
		{"[<808ea9f4>] (gsmld_receive_buf) from [<808dcfac>] (tty_ioctl+0x7b4/0xa6c)", "tty_ioctl", "", true},
		{" dump_backtrace from show_stack+0x18/0x1c", "show_stack", "", true},
	}
	p := newPatterns()
	for _, test := range tests {
		f, sure, ok := p.parse(test.text, 1)
		if !ok || f.Func != test.function || f.Module != test.module || sure != test.sure {
			t.Errorf("%q: %+v, sure %v, %v", test.text, f, sure, ok)
		}
	}
	if f, _, ok := p.parse("softirqs last enabled at (1): no frame", 1); ok {
		t.Errorf("a sentence is a frame: %+v", f)
	}
}

func TestSourceOfAFrame(t *testing.T) {
	t.Parallel()
	f, _, ok := newPatterns().parse(" tty_buffer_flush+0xbb/0x3a0 drivers/tty/tty_buffer.c:221", 7)
	if !ok || f.Source != "drivers/tty/tty_buffer.c:221" || f.Offset != 0xbb || f.Size != 0x3a0 || f.Line != 7 {
		t.Errorf("got %+v", f)
	}
}

// Two reports of the same fault have the same fingerprint; another caller
// makes another fault.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	log := func(task, caller string) []byte {
		return []byte("[    1.000000] BUG: sleeping function called from invalid context at mm/x.c:1\n" +
			"[    1.000000] CPU: 0 PID: " + task + " Comm: x\n[    1.000000] Call Trace:\n" +
			"[    1.000000]  dump_stack_lvl+0x1/0x2\n[    1.000000]  fuse_a+0x1/0x2\n[    1.000000]  " + caller + "+0x1/0x2\n")
	}
	a, b, c := Find(log("1", "fuse_b"))[0], Find(log("2", "fuse_b"))[0], Find(log("1", "fuse_c"))[0]
	if a.Fingerprint != b.Fingerprint || a.Fingerprint == c.Fingerprint || len(a.Fingerprint) != 16 {
		t.Errorf("%s, %s, %s", a.Fingerprint, b.Fingerprint, c.Fingerprint)
	}
}

// What a log holds of complaints is bounded.
func TestBounds(t *testing.T) {
	t.Parallel()
	var log []byte
	for i := range 10 * MaxCrashes {
		log = append(log, "[    1.000000][ T"...)
		log = append(log, byte('1'+i%9), byte('0'+i/9%10), byte('0'+i/90%10))
		log = append(log, "] BUG: scheduling while atomic: x\n"...)
	}
	if got := len(Find(log)); got != MaxCrashes {
		t.Errorf("%d crashes, want %d", got, MaxCrashes)
	}
}
