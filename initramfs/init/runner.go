package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

// grace is how long PID 1 waits for what should take no time: processes to
// die after SIGKILL, a file system to unmount, a program to end when asked.
const grace = 5 * time.Second

// Exit codes of a program that could not be started, as shells have them.
const (
	codeNotRunnable = 126
	codeNotFound    = 127
	codeSignal      = 128 // plus the signal
)

// A runner runs tests one after the other.
type runner struct {
	port   *port
	klog   *kernelLog
	reaper *reaper
	base   []mountPoint
	leaks  *leakCheck // nil where kmemleak is off
}

// newRunner returns a runner; the error is of a check that it has to do
// without.
func newRunner(p *port, k *kernelLog) (*runner, error) {
	r := &runner{port: p, klog: k, reaper: newReaper(), base: mountPoints()}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err == nil {
		r.leaks, err = newLeakCheck(kmemleak, string(cmdline))
	}
	return r, err
}

// run runs t to its end and leaves nothing of it behind that can be removed.
func (r *runner) run(t *wire.Test) {
	r.klog.print("test " + t.ID)
	r.port.send(&wire.Record{Type: wire.Start, ID: t.ID})
	exit := &wire.Record{Type: wire.Exit, ID: t.ID}
	if err := r.execute(t, exit); err != nil {
		r.port.send(&wire.Record{Type: wire.Error, ID: t.ID, Text: err.Error()})
		exit.Code = codeNotRunnable
		if errors.Is(err, os.ErrNotExist) {
			exit.Code = codeNotFound
		}
	}
	for _, path := range unmountExtra(r.base) {
		r.klog.print("test " + t.ID + " left a mount on " + path)
	}
	r.klog.noteTaint()
	r.check(t)
	exit.Taint = taint()
	r.port.send(exit)
}

// check looks for what t has left in the kernel. Whatever is found is
// charged to t, not to one of its tests.
func (r *runner) check(t *wire.Test) {
	if r.leaks == nil {
		return
	}
	r.klog.print("test " + t.ID)
	if err := r.leaks.run(r.klog); err != nil {
		r.port.send(&wire.Record{Type: wire.Error, ID: t.ID, Text: err.Error()})
	}
}

// execute starts t, waits for its end and fills in exit. An error says that
// it was not started.
func (r *runner) execute(t *wire.Test, exit *wire.Record) error {
	out, err := openOutput(t)
	if err != nil {
		return err
	}
	started, err := r.reaper.start(func() (int, error) { return fork(t, out.files) })
	out.closeFiles()
	if err != nil {
		out.closePipes()
		return err
	}
	sent := out.stream(r.port, t, r.klog)
	status := r.wait(started, t, exit)
	exit.Left = killAll(started.gone)
	select {
	case <-sent:
	case <-time.After(grace):
		// Something that SIGKILL does not reach holds a pipe open.
		out.queue.close()
		<-sent
	}
	exit.Code, exit.Signal = status.ExitStatus(), 0
	if status.Signaled() {
		exit.Signal = int(status.Signal())
		exit.Code = codeSignal + exit.Signal
	}
	return nil
}

// wait returns the program's status, ending it when its time is over. Go
// programs say what all goroutines do when they get SIGQUIT.
func (r *runner) wait(f family, t *wire.Test, exit *wire.Record) unix.WaitStatus {
	var over <-chan time.Time
	if t.Timeout > 0 {
		over = time.After(t.Timeout)
	}
	select {
	case status := <-f.exited:
		return status
	case <-over:
	}
	exit.TimedOut = true
	ask := unix.SIGTERM
	if t.Marks {
		ask = unix.SIGQUIT
	}
	for _, sig := range []unix.Signal{ask, unix.SIGKILL} {
		_ = unix.Kill(-f.pid, sig)
		select {
		case status := <-f.exited:
			return status
		case <-time.After(grace):
		}
	}
	return unix.WaitStatus(unix.SIGKILL) // in state D: it will be, if ever
}

// killAll kills every process but PID 1 and returns how many survive it.
func killAll(gone <-chan struct{}) int {
	for end := time.Now().Add(grace); time.Now().Before(end); {
		_ = unix.Kill(-1, unix.SIGKILL)
		select {
		case <-gone:
			return 0
		case <-time.After(50 * time.Millisecond):
		}
	}
	return processes()
}

// fork starts t's program in a session of its own and returns its PID.
func fork(t *wire.Test, files []int) (int, error) {
	if len(t.Argv) == 0 {
		return 0, errors.New("run: no program given")
	}
	path, err := lookPath(t.Argv[0])
	if err != nil {
		return 0, err
	}
	dir := t.Dir
	if dir == "" {
		dir = "/"
	}
	fds := make([]uintptr, len(files))
	for i, fd := range files {
		fds[i] = uintptr(fd)
	}
	// u-root's commands are one program that looks at argv[0]: for a link such
	// as sh it finds the command behind only by the link's whole path.
	argv := append([]string{path}, t.Argv[1:]...)
	var pid int
	unranked(func() {
		pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
			Dir:   dir,
			Env:   environment(t.Env),
			Files: fds,
			Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: t.TTY != ""},
		})
	})
	if err != nil {
		return 0, fmt.Errorf("run %s in %s: %w", path, dir, err)
	}
	return pid, nil
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, os.ErrNotExist)
	}
	return path, nil
}

// environment is what every program gets, and then extra.
func environment(extra []string) []string {
	return append([]string{
		"PATH=" + searchPath,
		"HOME=/root",
		"TMPDIR=/tmp",
		"USER=root",
		"TERM=linux",
	}, extra...)
}
