package console

import (
	"bytes"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzFind gives the reader logs that no kernel wrote: it must not fail, must
// stay within its bounds and must read the same log the same way twice.
func FuzzFind(f *testing.F) {
	for _, log := range recorded(f) {
		f.Add(log.log)
	}
	f.Add([]byte("BUG: KASAN: \n"))
	f.Add([]byte("[    1.000000] INFO: task  blocked for more than \x00\xff"))
	f.Add([]byte("** 3 printk messages dropped ** [ 1.0000] WARNING: at \r\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		crashes := Find(log)
		if len(crashes) > MaxCrashes {
			t.Fatalf("%d crashes", len(crashes))
		}
		lines := bytes.Count(log, []byte("\n")) + 1
		for _, c := range crashes {
			switch {
			case c.Title == "" || len(c.Title) > 2*maxTitle || !utf8.ValidString(c.Title):
				t.Errorf("title %q", c.Title)
			case c.Lines[0] < 1 || c.Lines[1] < c.Lines[0] || c.Lines[1] > lines:
				t.Errorf("lines %v of %d", c.Lines, lines)
			case len(c.Text) > MaxText || !utf8.ValidString(c.Text):
				t.Errorf("%d bytes of text", len(c.Text))
			case len(c.Frames) > MaxFrames || len(c.Fingerprint) != 16 || c.Kind == "" || c.Fault == "":
				t.Errorf("%+v", c)
			case c.Corrupted != (c.Damage != ""):
				t.Errorf("corrupted %v, damage %q", c.Corrupted, c.Damage)
			}
		}
		if again := Find(log); !reflect.DeepEqual(crashes, again) {
			t.Error("the second reading differs")
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("<6>[    1.234567][  T12] text\r"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m := Message(raw); !bytes.Contains(raw, m) {
			t.Errorf("%q is no part of %q", m, raw)
		}
	})
}
