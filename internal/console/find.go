// Package console reads the kernel's log as it comes over a console: it finds
// what the kernel complained of, names it and cuts out the lines that tell of
// it. It is pure over bytes and trusts none of them.
//
// Titles follow the words kernel developers know from syzbot, so that a
// complaint can be looked up: "KASAN: slab-use-after-free Read in fuse_copy_page".
package console

import (
	"bytes"
	"strings"
)

// Find returns the complaints in log, the first one first, at most MaxCrashes.
// What follows from a complaint (the panic after an oops, the second half of a
// report) is part of it.
func Find(log []byte) []Crash {
	r := &reader{
		rules: ruleset(), patterns: newPatterns(), scanner: scanner{rest: log},
		log: log, suspects: newSuspects(log), taken: map[context]int{},
	}
	for len(r.found) < MaxCrashes {
		at := r.suspects.next(r.offset())
		if at == len(log) {
			break
		}
		r.scanner.skip(at - r.offset())
		raw, _ := r.scanner.next()
		r.examine(split(r.scanner.n, raw))
	}
	return strong(r.found)
}

// strong leaves out what programs said when the kernel complained too.
func strong(found []Crash) []Crash {
	kept := found[:0:0]
	for _, c := range found {
		if c.Kind != Driver {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return found
	}
	return kept
}

// A reader goes once through a log.
type reader struct {
	rules    []rule
	patterns *patterns
	log      []byte
	scanner  scanner
	suspects *suspects
	// opened is what the last line asked for opens.
	opened struct {
		n     int
		rule  *rule
		match []string
	}
	found []Crash
	// taken are the reports found, by context: up to which line each goes.
	taken map[context]int
}

// offset is where the scanner stands.
func (r *reader) offset() int { return len(r.log) - len(r.scanner.rest) }

// examine adds the complaint that l opens, if it does.
func (r *reader) examine(l line) {
	r.reboot(l)
	rule, m := r.open(l)
	if rule == nil || l.n <= r.taken[l.context] || rule.aftermath && len(r.found) > 0 {
		return
	}
	if rule.follows && r.within(l) || rule.stampedOnly && l.context == unstamped {
		return
	}
	if rule.proof && !(rule.kernels && l.context != unstamped) && !r.proven(l, rule) {
		return
	}
	b := r.collect(l, rule, r.scanner, whole)
	c := newReport(r.patterns, rule, m, b).crash()
	c.Lines[0] = r.preamble(l)
	r.taken[l.context] = b.last()
	r.found = append(r.found, c)
}

// near is how many lines after a report its own panic may come.
const near = 40

// within says that l comes right after a report of the same context.
func (r *reader) within(l line) bool {
	end, ok := r.taken[l.context]
	return ok && l.n-end < near
}

// lookBack bounds, in lines of the log, the search for a report's real start.
const lookBack = 64

// preamble finds the line a report really starts with: the "cut here" or the
// line of "=" shortly before its opener.
func (r *reader) preamble(opener line) int {
	before := r.log[:r.offset()]
	before = before[:bytes.LastIndexByte(bytes.TrimSuffix(before, []byte("\n")), '\n')+1]
	seen := 0
	for n := opener.n - 1; n > 0 && n > opener.n-lookBack && seen < 5; n-- {
		before = bytes.TrimSuffix(before, []byte("\n"))
		start := bytes.LastIndexByte(before, '\n') + 1
		l := split(n, before[start:])
		before = before[:start]
		if l.context != opener.context {
			continue
		}
		seen++
		if bytes.Contains(l.text, []byte("[ cut here ]")) || seen == 1 && isRule(string(l.text)) {
			return n
		}
	}
	return opener.n
}

// reboot notices a kernel that starts although another was running.
func (r *reader) reboot(l line) {
	if !starts(l) || len(r.found) > 0 || !r.running(l.n) {
		return
	}
	const title = "unexpected kernel reboot"
	r.found = append(r.found, Crash{
		Kind: Reboot, Fault: FaultReset, Title: title, Lines: [2]int{l.n, l.n},
		Text: strings.ToValidUTF8(string(l.text), "?"), Fingerprint: fingerprint(Reboot, FaultReset, title, nil),
	})
}

// starts says that l is among the first lines of a kernel.
func starts(l line) bool {
	if bytes.HasPrefix(l.text, []byte("Linux version ")) {
		return l.second <= 0
	}
	text := bytes.TrimSpace(l.text)
	return bytes.HasSuffix(text, []byte("Booting the kernel.")) &&
		(bytes.HasPrefix(text, []byte("Booting")) || bytes.HasPrefix(text, []byte("Decompressing")))
}

// running says that a kernel that had been up for a second spoke shortly
// before line n, the one that was read last.
func (r *reader) running(n int) bool {
	before := r.log[:r.offset()]
	for range lookBack {
		before = bytes.TrimSuffix(before, []byte("\n"))
		start := bytes.LastIndexByte(before, '\n') + 1
		if n--; split(n, before[start:]).second > 0 {
			return true
		}
		if before = before[:start]; len(before) == 0 {
			return false
		}
	}
	return false
}
