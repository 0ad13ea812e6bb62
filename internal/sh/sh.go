// Package sh runs commands of the host: echoed so that they can be pasted
// into a shell, in a process group of their own so that a cancelled context
// leaves nothing behind, and with the output they may keep bounded.
package sh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// killDelay is how long a cancelled command has, from SIGTERM to SIGKILL, to
// remove its temporary files.
const killDelay = 3 * time.Second

// MaxOutput bounds what Output keeps, in bytes.
const MaxOutput = 16 << 20

// A Runner runs commands. The zero value runs them silently.
type Runner struct {
	// Echo, when set, receives every command as one line for a shell.
	Echo io.Writer
}

// Command returns name with args, to be run in dir ("" is the current
// directory). When ctx ends, its whole process group gets SIGTERM and, three
// seconds later, SIGKILL. Environment variables are added to cmd.Env by With,
// so that the echoed line carries them.
func (r Runner) Command(ctx context.Context, dir, name string, args ...string) *Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c := &Cmd{Cmd: cmd, runner: r}
	cmd.Cancel = c.terminate
	cmd.WaitDelay = killDelay + time.Second
	return c
}

// A Cmd is an exec.Cmd that echoes itself when it starts.
type Cmd struct {
	*exec.Cmd
	runner Runner
	extra  []string
}

// terminate asks the process group to end and, later, makes it.
func (c *Cmd) terminate() error {
	pgid := c.Process.Pid
	err := syscall.Kill(-pgid, syscall.SIGTERM)
	time.AfterFunc(killDelay, func() { _ = syscall.Kill(-pgid, syscall.SIGKILL) })
	return err
}

// With adds variables ("NAME=value") to the environment the command inherits.
func (c *Cmd) With(env ...string) *Cmd {
	c.extra = append(c.extra, env...)
	c.Env = append(c.Environ(), env...)
	return c
}

// Line is the command as a line for a shell.
func (c *Cmd) Line() string {
	var b strings.Builder
	if c.Dir != "" {
		fmt.Fprintf(&b, "cd %s && ", Quote(c.Dir))
	}
	for _, e := range c.extra {
		name, value, _ := strings.Cut(e, "=")
		fmt.Fprintf(&b, "%s=%s ", name, Quote(value))
	}
	b.WriteString(Quote(c.Args...))
	return b.String()
}

// Start echoes the command and starts it.
func (c *Cmd) Start() error {
	if c.runner.Echo != nil {
		fmt.Fprintf(c.runner.Echo, "+ %s\n", c.Line())
	}
	return c.Cmd.Start()
}

// Run echoes the command, runs it and returns an *Error when it fails. What
// it writes to standard error is kept for that error unless Stderr is set.
func (c *Cmd) Run() error {
	tail := &Tail{Max: 4 << 10}
	if c.Stderr == nil {
		c.Stderr = tail
	}
	if err := c.Start(); err != nil {
		return &Error{Name: c.Args[0], Err: err}
	}
	if err := c.Wait(); err != nil {
		return &Error{Name: c.Args[0], Stderr: tail.String(), Err: err}
	}
	return nil
}

// Output runs the command and returns at most MaxOutput bytes of what it
// writes to standard output; more is an error.
func (c *Cmd) Output() ([]byte, error) {
	out := &limited{max: MaxOutput}
	c.Stdout = out
	if err := c.Run(); err != nil {
		return out.buf.Bytes(), err
	}
	if out.cut {
		return out.buf.Bytes(), fmt.Errorf("%s: output larger than %d MiB", c.Args[0], MaxOutput>>20)
	}
	return out.buf.Bytes(), nil
}

// An Error is a command that could not be started or did not exit with 0.
// Error() is one line; Stderr holds the last 4 KiB the command complained.
type Error struct {
	Name   string
	Stderr string
	Err    error
}

// Error names the command, the way it ended and the last line it wrote.
func (e *Error) Error() string {
	last := strings.TrimSpace(e.Stderr)
	if i := strings.LastIndexByte(last, '\n'); i >= 0 {
		last = last[i+1:]
	}
	if last == "" {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Name, e.Err, last)
}

// Unwrap returns the cause, an *exec.ExitError for a command that ran.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the exit status behind err, or -1 when the command did not
// exit by itself.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// Quote joins args so that a POSIX shell reads them back unchanged.
func Quote(args ...string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}

func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// A Tail keeps the last Max bytes written to it.
type Tail struct {
	Max int
	buf []byte
}

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.Max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String returns what was kept.
func (t *Tail) String() string { return string(t.buf) }

// limited has no embedded buffer: io.Copy would find its ReadFrom and go past
// the bound.
type limited struct {
	buf bytes.Buffer
	max int
	cut bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := l.max - l.buf.Len()
	l.cut = l.cut || len(p) > room
	l.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}
