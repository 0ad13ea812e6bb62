package kernel

import (
	"bytes"
	"errors"
	"io"
	"path"
	"regexp"
	"strings"
	"syscall"
)

// Bounds of what is kept of make's output.
const (
	maxErrors  = 5
	maxMessage = 400     // bytes of one error
	maxPartial = 8 << 10 // bytes of a line that has not ended
)

// The forms in which make, compilers and shells speak; with LC_ALL=C they are
// the same everywhere.
var (
	stepLine = regexp.MustCompile(`^  [A-Z][A-Z0-9_+-]* +(\[M\] +)?\S`)
	// fs/fuse/dev.c:902:10: error: ..., ld: dev.o: in function `x': undefined reference to `y'
	compileError = regexp.MustCompile(`^\S+:\d+(:\d+)?: (fatal )?error: |` +
		`undefined reference to |multiple definition of |ERROR: modpost: |^error: objtool: `)
	// make[3]: *** No rule to make target 'fs/x.o', needed by 'fs/built-in.a'.  Stop.
	makeError = regexp.MustCompile(`^(?:make(?:\[\d+\])?: \*\*\* |\S+:\d+: \*\*\* )(.*)`)
	// gcc: fatal error: Killed signal terminated program cc1. "Terminated" is
	// what a cancelled build says.
	killedProgram = regexp.MustCompile(`(?:Killed|Bus error|Segmentation fault) signal terminated program (\S+)|` +
		`^collect2: .*\b(\S+) terminated with signal (?:7|9|11) `)
	killedBy = regexp.MustCompile(`^make(?:\[\d+\])?: \*\*\* .*\] (?:Killed|Error 137)$|^Killed$`)
	// /bin/sh: 1: flex: not found
	notFound = regexp.MustCompile(`^(?:\S*/)?(?:ba|da)?sh: (?:line )?(?:\d+: )?(\S+): (?:command )?not found$|` +
		`^make(?:\[\d+\])?: ([A-Za-z0-9_.+-]+): No such file or directory$`)
	// Headers of the host's libraries that host programs of the build include.
	noHeader = regexp.MustCompile(`fatal error: ((?:gelf|libelf|openssl/\w+)\.h): No such file`)
)

// Of configuring alone.
var (
	// fs/Kconfig:12: syntax error, Makefile:3: *** missing separator.  Stop.
	placedLine = regexp.MustCompile(`^(\S+?):\d+:(?:\d+:)? ?(.*)`)
	aside      = regexp.MustCompile(`^(?:warning|note)\b`)
	noRule     = regexp.MustCompile(`^No rule to make target `)
	// Headers of the C library, which host programs include.
	noLibrary = regexp.MustCompile(`fatal error: ((?:sys/\w+|std\w+|assert|ctype|errno|fcntl|limits|string|unistd)\.h): No such file`)
)

// hostError is what the C library says where a machine has no more to give.
var hostError = regexp.MustCompile(`: (?:Cannot allocate memory|Input/output error|Read-only file system|Disk quota exceeded|` +
	`Too many open files(?: in system)?|Resource temporarily unavailable|Stale file handle|Permission denied)\W*$|` +
	`^virtual memory exhausted\b|: out of memory allocating \d+ bytes`)

const noSpace = "No space left on device"

// A reader takes in make's output line by line: it writes the log, counts
// commands and keeps what went wrong first.
type reader struct {
	log  io.Writer
	room int64 // bytes that the log may still grow
	step func(int)
	trim []string // prefixes of paths that mean nothing to people
	// stopped, when set, is called once, when make reports the first error.
	stopped func()

	partial []byte
	steps   int
	errors  []string // of compilers and linkers
	placed  []string // of anything, with a file and a line
	stops   []string // of make itself
	full    bool
	missing string // program or header
	host    string // what this machine did not do
	last    string // line that is not empty
	killed  string // program
}

// Write never fails: a log that can't be written must not stop the build.
func (r *reader) Write(p []byte) (int, error) {
	r.writeLog(p)
	r.partial = append(r.partial, p...)
	for {
		i := bytes.IndexByte(r.partial, '\n')
		if i < 0 && len(r.partial) > maxPartial {
			i = maxPartial
		}
		if i < 0 {
			return len(p), nil
		}
		r.line(string(r.partial[:i]))
		r.partial = append(r.partial[:0], bytes.TrimPrefix(r.partial[i:], []byte("\n"))...)
	}
}

func (r *reader) writeLog(p []byte) {
	if r.room <= 0 {
		return
	}
	n, err := r.log.Write(p[:min(int64(len(p)), r.room)])
	r.room -= int64(n)
	r.full = r.full || errors.Is(err, syscall.ENOSPC)
	if r.room <= 0 {
		_, _ = io.WriteString(r.log, "\n[runvm: the log is cut here]\n")
	}
}

func (r *reader) line(line string) {
	if stepLine.MatchString(line) {
		r.steps++
		if r.step != nil {
			r.step(r.steps)
		}
		return
	}
	r.full = r.full || strings.Contains(line, noSpace)
	if hostError.MatchString(line) {
		r.host = first(r.host, r.short(line))
	}
	if strings.TrimSpace(line) != "" && !makeError.MatchString(line) {
		r.last = r.short(line)
	}
	if m := placedLine.FindStringSubmatch(line); m != nil && !aside.MatchString(m[2]) {
		r.placed = r.keep(r.placed, line)
	}
	if m := killedProgram.FindStringSubmatch(line); m != nil {
		r.killed = first(r.killed, m[1], m[2])
	} else if killedBy.MatchString(line) {
		r.killed = first(r.killed, "compiler")
	}
	if m := notFound.FindStringSubmatch(line); m != nil {
		r.missing = first(r.missing, path.Base(first(m[1], m[2])))
	}
	if m := noHeader.FindStringSubmatch(line); m != nil {
		r.missing = first(r.missing, m[1])
	}
	switch {
	case compileError.MatchString(line):
		r.errors = r.keep(r.errors, line)
	case makeError.MatchString(line):
		if len(r.stops) == 0 && r.stopped != nil {
			r.stopped()
		}
		r.stops = r.keep(r.stops, makeError.FindStringSubmatch(line)[1])
	}
}

func (r *reader) keep(list []string, line string) []string {
	if len(list) >= maxErrors {
		return list
	}
	return append(list, r.short(line))
}

// short is line as people are shown it.
func (r *reader) short(line string) string {
	for _, prefix := range r.trim {
		line = strings.ReplaceAll(line, prefix, "")
	}
	return line[:min(len(line), maxMessage)]
}

// complaints are the compilers' errors; where they had none, make's first.
func (r *reader) complaints() []string {
	if len(r.errors) > 0 || len(r.stops) == 0 {
		return r.errors
	}
	return r.stops[:1]
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
