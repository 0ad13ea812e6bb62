package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// maxLine bounds what is written to the kernel log at once, in bytes; the
// kernel refuses lines of more than about 1000.
const maxLine = 512

// A kernelLog writes lines into the kernel's own log, and so to the console.
type kernelLog struct {
	f     *os.File
	mu    sync.Mutex
	taint int64 // when it was last looked at
}

func openKernelLog() (*kernelLog, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel log: %w", err)
	}
	return &kernelLog{f: f, taint: taint()}, nil
}

// print logs "runvm: text", with a priority that a quiet console shows too.
// What is not printable in text is replaced, what is too long is cut.
func (k *kernelLog) print(text string) { k.raw("runvm: " + text) }

// raw is print without the name.
func (k *kernelLog) raw(text string) {
	_, _ = k.f.WriteString("<3>" + printable(text) + "\n")
}

// begin marks the start of a test. Before that it says when the kernel has
// become tainted: what ran until now has done that.
func (k *kernelLog) begin(test string) {
	k.noteTaint()
	k.print("=== RUN " + test)
}

// noteTaint says what the kernel's taint is when it is another than before.
func (k *kernelLog) noteTaint() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := taint(); now != k.taint {
		k.taint = now
		k.print(fmt.Sprintf("=== TAINT %d", now))
	}
}

func printable(text string) string {
	text = strings.ReplaceAll(text, "\t", "        ")
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
