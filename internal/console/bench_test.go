package console

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// big is the size of the logs that are timed, in bytes.
const big = 10 << 20

// generated is a log of about big bytes of lines that differ.
func generated(line func(n int) string) []byte {
	var b bytes.Buffer
	for n := 0; b.Len() < big; n++ {
		fmt.Fprintf(&b, "[%5d.%06d]%s\n", n/1000, n%1000*1000, line(n))
	}
	return b.Bytes()
}

// quiet is a line as a busy guest prints it, without any complaint.
func quiet(n int) string {
	return fmt.Sprintf("[ T%d] EXT4-fs (loop%d): mounted filesystem with ordered data mode. Quota mode: none.", n%900, n%8)
}

// nearly are lines that hold all that an opener has to hold, but are none:
// what varies in it is "~".
func nearly() []string {
	var lines []string
	for _, r := range ruleset() {
		l := " ~" + r.bones.sample()
		if len(Find([]byte("[    1.000000]"+l))) == 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

// sample is a text that holds the skeleton.
func (s *skeleton) sample() string {
	text := s.word
	for i := range s.parts {
		text += s.parts[i].sample() + "~"
		if s.alternative {
			break
		}
	}
	return text
}

// hostile are logs of what costs the most.
func hostile() map[string]func(n int) string {
	near := nearly()
	long := make([]string, len(near))
	for i, l := range near {
		long[i] = strings.Repeat(l, maxLine/len(l))
	}
	return map[string]func(n int) string{
		"near openers":    func(n int) string { return near[n%len(near)] + fmt.Sprint(n) },
		"long ones":       func(n int) string { return long[n%len(long)] },
		"of many tasks":   func(n int) string { return fmt.Sprintf("[ T%d]%s", n%900, near[n%len(near)]) },
		"one of all":      func(n int) string { return fmt.Sprint(" INFO: task BUG: WARNING: blocked [#1] Oops stall ", n) },
		"without a proof": func(n int) string { return fmt.Sprintf("[ T%d] INFO: all is well %d", n%900, n) },
		"reports": func(n int) string {
			return fmt.Sprintf(" BUG: KASAN: use-after-free in f%d+0x1/0x2\n[    1.0001]  f+0x1/0x2", n)
		},
	}
}

func BenchmarkFind(b *testing.B) {
	logs := map[string][]byte{
		"quiet": generated(quiet), "empty lines": bytes.Repeat([]byte("\n"), big), "one line": bytes.Repeat([]byte("x"), big),
	}
	for name, line := range hostile() {
		logs[name] = generated(line)
	}
	for name, log := range logs {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			for b.Loop() {
				Find(log)
			}
		})
	}
}
