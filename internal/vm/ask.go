package vm

import (
	"context"
	"fmt"
	"time"
)

// How long the guest has to answer.
const (
	askPause = 100 * time.Millisecond // between what must come in order
	askQuiet = 400 * time.Millisecond // without a word: the answer is over
	askFirst = 3 * time.Second        // for the first word of all
	askTime  = 15 * time.Second       // for all answers, also of a guest that never stops talking
)

// questions are keys of sysrq (Documentation/admin-guide/sysrq.rst): what each
// CPU does, who is blocked, who holds which lock where lockdep knows, and
// what every task waits for.
const questions = "lwdt"

// What a guest is asked with.
const (
	// QEMU gives its serial port something to read.
	qmpListen = `{"execute":"chardev-change","arguments":{"id":"console","backend":` +
		`{"type":"file","data":{"out":%q,"append":true,"in":%q}}}}` + "\n"
	qmpBreak     = `{"execute":"chardev-send-break","arguments":{"id":"console"}}` + "\n"
	qmpNMI       = `{"execute":"inject-nmi"}` + "\n"
	qmpRegisters = `{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}` + "\n"
)

// maxRegisters bounds Result.Registers, in bytes.
const maxRegisters = 64 << 10

// ask makes a guest that ran out of time say what it is doing: by sysrq on
// its serial port, which needs interrupts; else by an NMI, which makes it
// panic; else by its registers. What it says goes to the console.
func (r *run) ask(ctx context.Context) error {
	if !r.options.Ask || r.before != nil && !r.migrated {
		return nil // or it has not gone on from its snapshot
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	before := r.console.heard.Load()
	asked := r.console.passed.Load()
	if asked < before {
		asked = 0 // too long: the answers go to the end that is kept
	}
	if err := r.tell(fmt.Sprintf(qmpListen, r.channels.consolePath, r.channels.ends.keys)); err != nil {
		return nil // QEMU is gone
	}
	r.pause(ctx, askPause)
	for _, key := range questions {
		if r.tell(qmpBreak) != nil || !r.pause(ctx, askPause) {
			break
		}
		if _, err := r.channels.keys.Write([]byte(string(key))); err != nil {
			return fmt.Errorf("ask the guest: %w", err)
		}
		r.answer(ctx, before)
		if r.console.heard.Load() == before {
			break // it does not read its serial port
		}
	}
	if r.console.heard.Load() == before && r.tell(qmpNMI) == nil {
		r.answer(ctx, before)
	}
	if r.console.heard.Load() > before {
		r.result.Asked = asked
		return nil
	}
	if r.tell(qmpRegisters) == nil {
		select {
		case text := <-r.answers:
			r.result.Registers = text[:min(len(text), maxRegisters)]
		case <-time.After(askFirst):
		case <-r.process.exited:
		case <-ctx.Done():
		}
	}
	return nil
}

// answer waits until the console, which had said before bytes in all, has
// been quiet for a while; a guest that has not answered at all gets longer.
func (r *run) answer(ctx context.Context, before int64) {
	first := time.Now().Add(askFirst)
	for said := int64(-1); ctx.Err() == nil; {
		now := r.console.heard.Load()
		if now == said && (now > before || time.Now().After(first)) {
			return
		}
		said = now
		if !r.pause(ctx, askQuiet) {
			return
		}
	}
}

// pause waits for d; it is false when there is nobody to wait for any more.
func (r *run) pause(ctx context.Context, d time.Duration) bool {
	over := time.After(d)
	for {
		select {
		case <-over:
			return true
		case e := <-r.events:
			r.note(e)
		case <-r.process.exited:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
