// Package console reads the kernel's log as it comes over a console: it finds
// what the kernel complained of, names it and cuts out the lines that tell of
// it. It is pure over bytes and trusts none of them.
package console

import (
	"bytes"
	"regexp"
)

var complaint = regexp.MustCompile(`^(?:BUG: .*|WARNING: .*|kernel BUG at .*|Oops: .*|general protection fault.*|Kernel panic - .*|INFO: task .* blocked for more than .*|.*detected stalls on CPUs.*|=+ ?possible .*)`)

// Find returns the complaints in log, the first one first, at most MaxCrashes.
func Find(log []byte) []Crash {
	var found []Crash
	for n := 1; len(log) > 0; n++ {
		var raw []byte
		raw, log, _ = bytes.Cut(log, []byte("\n"))
		if text := Message(raw); complaint.Match(text) && len(found) == 0 {
			found = append(found, Crash{Kind: Unknown, Fault: FaultOther, Title: string(text), Lines: [2]int{n, n}})
		}
	}
	return found
}

var stamp = regexp.MustCompile(`^(?:<\d+>)?(?:\[[ \d.]+\])?(?:\[ *[TC]\d+\])? ?`)

// Message returns the message of a line of the console, without the log
// level, the time stamp and the number of the task or CPU before it.
func Message(line []byte) []byte {
	return bytes.TrimRight(line[len(stamp.Find(line)):], "\r\n")
}
