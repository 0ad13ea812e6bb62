package gotest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// decode returns the events of text as lines.
func decode(text string, oneByte bool) string {
	var b strings.Builder
	d := NewDecoder("p", func(e Event) {
		if _, err := json.Marshal(e); err != nil {
			fmt.Fprintln(&b, err)
		}
		fmt.Fprintf(&b, "%s %s %q %g\n", e.Action, e.Test, e.Output, e.Elapsed)
	})
	var r io.Reader = strings.NewReader(text)
	if oneByte {
		r = iotest.OneByteReader(r)
	}
	_, _ = io.Copy(struct{ io.Writer }{d}, r)
	d.Close(true, 1.5)
	return b.String()
}

func TestDecoderChargesOutputToTests(t *testing.T) {
	t.Parallel()
	const text = "before\n\x16=== RUN   TestA\nhalf\x16=== RUN   TestA/b\nin b\n\x16--- FAIL: TestA/b (0.25s)\n" +
		"\x16=== NAME  TestA\nin a\n\x16--- SKIP: TestA (1.00s)\n\x16=== ATTR  TestA key value\n\x16=== NAME  \nbetween\n\x16PASS\nafter\xff\n"
	const want = `start  "" 0
output  "before\n" 0
run TestA "" 0
output TestA "=== RUN   TestA\n" 0
output TestA "half" 0
run TestA/b "" 0
output TestA/b "=== RUN   TestA/b\n" 0
output TestA/b "in b\n" 0
output TestA/b "--- FAIL: TestA/b (0.25s)\n" 0
fail TestA/b "" 0.25
output TestA "in a\n" 0
output TestA "--- SKIP: TestA (1.00s)\n" 0
skip TestA "" 1
output TestA "=== ATTR  TestA key value\n" 0
output  "between\n" 0
output  "PASS\n" 0
output  "after�\n" 0
pass  "" 1.5
`
	if got := decode(text, false); got != want {
		t.Errorf("events\n%s, want\n%s", got, want)
	}
}

func TestDecoderBoundsEvents(t *testing.T) {
	t.Parallel()
	longest, all := 0, 0
	d := NewDecoder("p", func(e Event) { longest, all = max(longest, len(e.Output)), all+len(e.Output) })
	for range 1000 {
		_, _ = d.Write([]byte(strings.Repeat("x", 1000)))
	}
	d.Close(false, 0)
	if longest > maxHeld || all != 1_000_000 {
		t.Errorf("longest output %d bytes, all %d", longest, all)
	}
}

func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		"\x16=== RUN   TestA\n\x16--- PASS: TestA (0.00s)\n\x16PASS\n", "\x16", "\x16\x16=== RUN   \n", "a\x16--- FAIL: ",
		"\x16=== NAME  \n", "--- PASS: x (\n", "\x16--- PASS: x (NaNs)\n", "\xff\x16=== CONT  \xff\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole := decode(text, false)
		if bytewise := decode(text, true); bytewise != whole {
			t.Errorf("byte by byte\n%s, at once\n%s", bytewise, whole)
		}
		if !utf8.ValidString(whole) || strings.HasPrefix(whole, "json: ") || strings.Contains(whole, "\njson: ") {
			t.Errorf("events are not UTF-8: %q", whole)
		}
	})
}
