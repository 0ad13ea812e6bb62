package kernel

import (
	"fmt"
	"strings"
	"syscall"
)

// A BuildError is a tree that does not compile: the kernel's fault or its
// patches', not this machine's.
type BuildError struct {
	// Tree is the name of the source.
	Tree string
	// Errors are the first complaints of the compiler or linker, at most
	// five, as "fs/fuse/dev.c:902:10: error: ...".
	Errors []string
	// Log is the path of make's whole output.
	Log string
}

// Error is one line with the first complaint and the log's path.
func (e *BuildError) Error() string {
	if len(e.Errors) == 0 {
		return fmt.Sprintf("build %s: make failed (log %s)", e.Tree, e.Log)
	}
	more := ""
	if n := len(e.Errors) - 1; n > 0 {
		more = fmt.Sprintf(", %d more", n)
	}
	return fmt.Sprintf("build %s: %s (log %s%s)", e.Tree, e.Errors[0], e.Log, more)
}

// A KilledError is a compiler or linker that was killed by a signal, most
// often for want of memory: this machine's fault.
type KilledError struct {
	// Program is what was killed: "cc1", "ld"; "make" when it is not known.
	Program string
	Log     string
}

// Error is one line.
func (e *KilledError) Error() string {
	return fmt.Sprintf("build: %s was killed by a signal, most often for want of memory; try fewer jobs (log %s)",
		e.Program, e.Log)
}

// A DiskFullError is a build that ran out of room. It wraps syscall.ENOSPC.
type DiskFullError struct {
	// Dir is the folder that is being built in.
	Dir string
	// Log is the path of make's output, "" when make had not started.
	Log string
	// Cause is what could not be written, nil when make met the full disk.
	Cause error
}

// Error is one line.
func (e *DiskFullError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("build in %s: %v: %v", e.Dir, syscall.ENOSPC, e.Cause)
	}
	return fmt.Sprintf("build in %s: %v (log %s)", e.Dir, syscall.ENOSPC, e.Log)
}

// Unwrap returns syscall.ENOSPC.
func (e *DiskFullError) Unwrap() error { return syscall.ENOSPC }

// MissingTool is a program or header that a build needs and this machine
// lacks.
type MissingTool struct {
	// Tool is the program ("flex") or header ("gelf.h").
	Tool string
	// For is what needs it.
	For string
}

// Error is one line.
func (e *MissingTool) Error() string {
	return fmt.Sprintf("build: %s is missing, needed for %s", e.Tool, e.For)
}

// A HostError is a build that this machine kept from its work: no memory for
// another process, a disk that cannot be written, a compiler that does not
// start.
type HostError struct {
	// Said is the line that tells, of make or of what it ran.
	Said string
	Log  string
}

// Error is one line.
func (e *HostError) Error() string {
	return fmt.Sprintf("build: %s: this machine's fault, it seems, not the kernel's (log %s)", e.Said, e.Log)
}

// A ConfigError is a configuration in which wanted symbols did not survive.
type ConfigError struct {
	Tree    string
	Missing []Missing
}

// A Missing is a wanted symbol that came out otherwise.
type Missing struct {
	// Symbol is the name without CONFIG_.
	Symbol string
	// Want and Got are values as in a .config; "n" is a symbol that is not set.
	Want, Got string
	// Depends is what the symbol depends on, "" when that is nothing;
	// Unmet lists the symbols of it that are not set.
	Depends string
	Unmet   []string
	// Unknown says that the tree has no such symbol.
	Unknown bool
}

// String is one line.
func (m Missing) String() string {
	s := fmt.Sprintf("CONFIG_%s=%s: got %s", m.Symbol, m.Want, m.Got)
	switch {
	case m.Unknown:
		return s + ", this tree has no such symbol"
	case m.Depends == "":
		return s + ", another symbol selects or hides it"
	case len(m.Unmet) == 0:
		return s + ", depends on " + m.Depends
	}
	return fmt.Sprintf("%s, depends on %s (not set: %s)", s, m.Depends, strings.Join(m.Unmet, ", "))
}

// Error has one line for each symbol.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Missing))
	for i, m := range e.Missing {
		lines[i] = m.String()
	}
	return fmt.Sprintf("configure %s: %s", e.Tree, strings.Join(lines, "\n  "))
}
