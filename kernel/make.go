package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/sh"
)

// maxLog bounds the log of one build, in bytes; a whole build writes 100 KiB.
const maxLog = 64 << 20

// grace is how long commands that run when another fails may take to end, and
// to report errors of their own.
const grace = 2 * time.Second

// make runs make in the lane's source with the targets and variables given.
// Its output is appended to the log; steps is told how many commands it ran.
// The error is one of this package's types.
func (l *lane) make(ctx context.Context, steps func(int), args ...string) (*reader, error) {
	log, err := os.OpenFile(l.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open build log: %w", err)
	}
	defer log.Close()
	m := &reader{log: log, room: maxLog, step: steps, trim: []string{l.src + "/", l.obj + "/"}}
	making, stop := context.WithCancel(ctx)
	defer stop()
	// After an error each of make's children would go on to the end of its
	// folders, which can take minutes.
	m.stopped = func() { time.AfterFunc(grace, stop) }
	cmd := l.command(making, args)
	cmd.Stdout, cmd.Stderr = m, m
	end, err := l.begin(cmd)
	if err != nil {
		return nil, err
	}
	err = cmd.Run()
	end(killed(err) != syscall.SIGKILL && m.killed == "" && !m.full)
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	return m, l.diagnose(m, err)
}

// command is make with everything that shapes the image said on its command
// line, and nothing inherited that could.
func (l *lane) command(ctx context.Context, args []string) *sh.Cmd {
	cc, _ := compiler()
	all := append([]string{"O=" + l.obj, "CC=" + cc}, flags()...)
	// Paths in messages and debug information are the tree's, wherever the
	// cache is. gcc's own folder is the object folder, without a slash.
	prefix := "-ffile-prefix-map=" + l.src + "/= -ffile-prefix-map=" + l.obj + "=."
	all = append(all, "KCFLAGS="+prefix, "KAFLAGS="+prefix)
	cmd := l.b.Sh.Command(ctx, l.src, "make", append(all, args...)...)
	// A runvm that is killed must not leave a make in the lane behind.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(e string) bool { return !inherited(e) })
	return cmd.With("LC_ALL=C")
}

// inherited tells whether make may see a variable of the environment.
func inherited(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	switch name {
	case "PATH", "HOME", "USER", "TMPDIR", "TERM", "XDG_CACHE_HOME", "XDG_CONFIG_HOME":
		return true
	}
	return strings.HasPrefix(name, "CCACHE_")
}

// killed returns the signal that ended a command, 0 when none did.
func killed(err error) syscall.Signal {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}

// diagnose turns make's failure and what it wrote into an error that says
// whose fault it is.
func (l *lane) diagnose(m *reader, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return &MissingTool{Tool: "make", For: "building a kernel"}
	case m.full:
		return &DiskFullError{Dir: l.dir, Log: l.log}
	case m.missing != "":
		return &MissingTool{Tool: m.missing, For: "building " + l.tree.Name}
	case m.killed != "":
		return &KilledError{Program: m.killed, Log: l.log}
	case m.host != "":
		return &HostError{Said: m.host, Log: l.log}
	case killed(err) != 0 && len(m.stops) == 0:
		return &KilledError{Program: "make", Log: l.log}
	}
	return &BuildError{Tree: l.tree.Name, Errors: m.complaints(), Log: l.log}
}
