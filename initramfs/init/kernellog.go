package main

import (
	"fmt"
	"os"
	"strings"
)

// maxLine bounds what is written to the kernel log at once, in bytes; the
// kernel refuses lines of more than about 1000.
const maxLine = 512

// A kernelLog writes lines into the kernel's own log, and so to the console.
type kernelLog struct{ f *os.File }

func openKernelLog() (*kernelLog, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel log: %w", err)
	}
	return &kernelLog{f}, nil
}

// print logs "runvm: text", with a priority that a quiet console shows too.
// What is not printable in text is replaced, what is too long is cut.
func (k *kernelLog) print(text string) {
	_, _ = k.f.WriteString("<3>runvm: " + printable(text) + "\n")
}

func printable(text string) string {
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
