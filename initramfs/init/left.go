package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// within runs f and returns when it has ended, or after d, whichever is first.
func within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}

// processes counts the processes that run beside PID 1 and the kernel's own.
func processes() int {
	found, _ := filepath.Glob("/proc/[0-9]*/stat")
	n := 0
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err == nil && filepath.Dir(path) != "/proc/1" && isProcess(string(text)) {
			n++
		}
	}
	return n
}

// isProcess reads a line of /proc/PID/stat: no zombie, no kernel thread.
func isProcess(stat string) bool {
	const kernelThread = 0x00200000 // PF_KTHREAD
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&kernelThread == 0
}

// A mountPoint is a line of /proc/self/mountinfo.
type mountPoint struct {
	id   string
	path string
}

func mountPoints() []mountPoint {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	var all []mountPoint
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			all = append(all, mountPoint{fields[0], unescape(fields[4])})
		}
	}
	return all
}

// unescape undoes the kernel's octal escapes of blanks in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// unmountExtra unmounts what is not in base, last mounted first, and returns
// the paths. It does not wait for servers that no longer answer.
func unmountExtra(base []mountPoint) []string {
	known := make(map[string]bool)
	for _, m := range base {
		known[m.id] = true
	}
	all := mountPoints()
	var paths []string
	for i := len(all) - 1; i >= 0; i-- {
		if m := all[i]; !known[m.id] {
			paths = append(paths, m.path)
			within(grace, func() { _ = unix.Unmount(m.path, unix.MNT_FORCE|unix.MNT_DETACH) })
		}
	}
	return paths
}

// taint is /proc/sys/kernel/tainted, -1 when it cannot be read.
func taint() int64 {
	text, err := os.ReadFile("/proc/sys/kernel/tainted")
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
