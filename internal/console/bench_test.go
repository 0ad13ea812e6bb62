package console

import (
	"bytes"
	"fmt"
	"testing"
)

// noise is a log of about size bytes as a busy guest prints it, without any
// complaint.
func noise(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "[%5d.%06d][ T%d] EXT4-fs (loop%d): mounted filesystem with ordered data mode. Quota mode: none.\n", i/1000, i%1000*1000, i%900, i%8)
	}
	return b.Bytes()
}

func BenchmarkFind(b *testing.B) {
	quiet := noise(10 << 20)
	hostile := bytes.Repeat([]byte("[    1.000000] INFO: task BUG: WARNING: blocked [#1] Oops stall\n"), 10<<20/64)
	reports := bytes.Repeat([]byte("[    1.000000] BUG: KASAN: use-after-free in f+0x1/0x2\n[    1.000001]  f+0x1/0x2\n"), 10<<20/80)
	for name, log := range map[string][]byte{"quiet": quiet, "hostile": hostile, "reports": reports, "empty lines": bytes.Repeat([]byte("\n"), 10<<20), "one line": bytes.Repeat([]byte("x"), 10<<20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			for b.Loop() {
				Find(log)
			}
		})
	}
}
