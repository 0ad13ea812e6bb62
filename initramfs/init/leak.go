package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kmemleak = "/sys/kernel/debug/kmemleak"
	// leakAge is how old memory must be before kmemleak calls it leaked; see
	// MSECS_MIN_AGE in mm/kmemleak.c.
	leakAge = 5100 * time.Millisecond
	// maxLeaks bounds what is read of kmemleak's findings, in bytes.
	maxLeaks = 64 << 10
)

// A leakCheck asks kmemleak, where it is on, for memory that nothing points to.
type leakCheck struct{ path string }

// newLeakCheck finds out whether kmemleak is on. That it is not is an error
// where the kernel's command line asks for it: then it has given up, or lacks
// what it needs.
func newLeakCheck(path, cmdline string) (*leakCheck, error) {
	l := &leakCheck{path}
	err := l.tell("stack=on") // the default: this changes nothing
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EPERM): // not built in, or off
		if slices.Contains(strings.Fields(cmdline), "kmemleak=on") {
			return nil, fmt.Errorf("kmemleak=on: %w", err)
		}
		return nil, nil
	}
	return nil, err
}

func (l *leakCheck) tell(command string) error {
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("kmemleak: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(command); err != nil {
		return fmt.Errorf("kmemleak: %s: %w", command, err)
	}
	return nil
}

// run writes into the kernel log what has leaked since the last time. It
// scans twice: what the first scan finds may be a pointer on its way from one
// place to another.
func (l *leakCheck) run(k *kernelLog) error {
	time.Sleep(leakAge)
	for range 2 {
		if err := l.tell("scan"); err != nil {
			return err
		}
	}
	f, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("kmemleak: %w", err)
	}
	defer f.Close()
	found, err := io.ReadAll(io.LimitReader(f, maxLeaks))
	if err != nil {
		return fmt.Errorf("kmemleak: %w", err)
	}
	for line := range bytes.Lines(found) {
		if bytes.HasPrefix(line, []byte("unreferenced object")) {
			k.raw("BUG: memory leak")
		}
		k.raw(string(bytes.TrimRight(line, "\n")))
	}
	return l.tell("clear")
}
