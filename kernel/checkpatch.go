package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/sh"
)

// The bounds of one run of checkpatch.
const (
	checkpatchTime   = 2 * time.Minute
	maxCheckpatchOut = 4 << 20 // bytes
)

// checkpatchFiles are what scripts/checkpatch.pl reads beside itself.
var checkpatchFiles = [...]string{"checkpatch.pl", "spelling.txt", "const_structs.checkpatch"}

// A Checkpatch runs the kernel's scripts/checkpatch.pl.
type Checkpatch struct {
	run sh.Runner
	dir string
}

// NewCheckpatch takes checkpatch.pl out of a tree, where read gives a file of
// it: of the base, for patches may change it. nil is a tree without one.
func NewCheckpatch(run sh.Runner, read func(name string) ([]byte, bool)) (*Checkpatch, error) {
	if _, ok := read("scripts/" + checkpatchFiles[0]); !ok {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "runvm-checkpatch-*")
	if err != nil {
		return nil, err
	}
	c := &Checkpatch{run: run, dir: dir}
	for _, name := range checkpatchFiles {
		text, ok := read("scripts/" + name)
		if !ok {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close removes what NewCheckpatch wrote.
func (c *Checkpatch) Close() { _ = os.RemoveAll(c.dir) }

// Check returns what checkpatch --strict says of a patch in the form of git
// format-patch, at most maxComplaints.
func (c *Checkpatch) Check(ctx context.Context, mail []byte) ([]Complaint, error) {
	ctx, cancel := context.WithTimeout(ctx, checkpatchTime)
	defer cancel()
	patch := filepath.Join(c.dir, "the.patch")
	if err := os.WriteFile(patch, mail, 0o600); err != nil {
		return nil, err
	}
	cmd := c.run.Command(ctx, c.dir, "perl", filepath.Join(c.dir, checkpatchFiles[0]),
		"--no-tree", "--strict", "--terse", "--showfile", "--show-types", "--no-summary", "--color=never", "the.patch").
		With("HOME="+c.dir, "LC_ALL=C")
	out := &bounded{max: maxCheckpatchOut}
	cmd.Stdout = out
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, &MissingTool{Tool: "perl", For: "checkpatch"}
	case ctx.Err() != nil:
		return nil, fmt.Errorf("checkpatch: %w", context.Cause(ctx))
	case err != nil && sh.ExitCode(err) != 1: // 1: it found something
		return nil, fmt.Errorf("checkpatch: %w", err)
	}
	return parseCheckpatch(out.buf.Bytes()), nil
}

// fs/a.c:12: WARNING:LONG_LINE: line length of 120 exceeds 100 columns
var checkpatchLine = regexp.MustCompile(`^(?:(\S+?):([0-9]+): )?(ERROR|WARNING|CHECK):([A-Z0-9_]+): (.*)$`)

func parseCheckpatch(out []byte) []Complaint {
	var all []Complaint
	for line := range bytes.Lines(out) {
		m := checkpatchLine.FindStringSubmatch(strings.TrimRight(string(line), "\r\n"))
		if m == nil || len(all) == maxComplaints {
			continue
		}
		c := Complaint{Tool: "checkpatch", Type: m[3] + ":" + m[4], Text: m[5]}
		if m[1] != "the.patch" && m[1] != "" && !ofMail(m[4]) {
			c.File = m[1]
			c.Line, _ = strconv.Atoi(m[2])
		}
		all = append(all, c)
	}
	return all
}

// ofMail says that a type of checkpatch's is about the whole mail: the place it
// gives is just where it ended.
func ofMail(kind string) bool {
	switch kind {
	case "MISSING_SIGN_OFF", "NO_AUTHOR_SIGN_OFF", "COMMIT_MESSAGE", "NOT_UNIFIED_DIFF":
		return true
	}
	return false
}

// bounded keeps the first max bytes that are written to it.
type bounded struct {
	buf bytes.Buffer
	max int
}

// Write never fails: a program that says too much is to end by itself.
func (b *bounded) Write(p []byte) (int, error) {
	b.buf.Write(p[:max(0, min(len(p), b.max-b.buf.Len()))])
	return len(p), nil
}
