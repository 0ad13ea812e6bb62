package vm

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/runvm/runvm/internal/sh"
)

// maxTail is how much of a flooding console's end is kept, in bytes.
const maxTail = 256 << 10

// A bounded passes on the first and the last bytes of what is written to it.
type bounded struct {
	w    io.Writer
	room int64   // what may still be passed on at once
	seen int64   // all bytes written
	held int64   // bytes that went to tail
	tail sh.Tail // the last of them
	last sh.Tail // the last 4 KiB, dropped or not

	passed atomic.Int64 // bytes that reached w
	heard  atomic.Int64 // seen, for other goroutines
}

// newBounded bounds what reaches w to limit bytes and one line.
func newBounded(w io.Writer, limit int64) *bounded {
	tail := min(maxTail, limit/4)
	return &bounded{w: w, room: limit - tail, tail: sh.Tail{Max: int(tail)}, last: sh.Tail{Max: 4 << 10}}
}

// Write takes all of p; its error is w's.
func (b *bounded) Write(p []byte) (int, error) {
	b.seen += int64(len(p))
	b.heard.Store(b.seen)
	_, _ = b.last.Write(p)
	now := p[:min(int64(len(p)), b.room)]
	b.room -= int64(len(now))
	rest := p[len(now):]
	b.held += int64(len(rest))
	_, _ = b.tail.Write(rest)
	if len(now) > 0 {
		if _, err := b.w.Write(now); err != nil {
			return 0, err
		}
		b.passed.Add(int64(len(now)))
	}
	return len(p), nil
}

// dropped counts the bytes that do not reach w at all.
func (b *bounded) dropped() int64 { return b.held - int64(len(b.tail.String())) }

// Close writes the end of what was held back and says what is missing.
func (b *bounded) Close() error {
	if n := b.dropped(); n > 0 {
		if _, err := fmt.Fprintf(b.w, "\n[runvm: console too long: %d bytes left out here]\n", n); err != nil {
			return err
		}
	}
	_, err := io.WriteString(b.w, b.tail.String())
	return err
}
