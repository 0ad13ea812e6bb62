package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/internal/sh"
)

// ErrNoQEMU says that the emulator is not installed.
var ErrNoQEMU = errors.New("not installed")

// exitTime bounds the wait for a process that was sent SIGKILL: one that
// hangs in the host's kernel does not go.
const exitTime = 5 * time.Second

// A process is a QEMU under way.
type process struct {
	cmd    *exec.Cmd
	stderr *sh.Tail
	exited chan struct{} // closed when it is gone
	err    error         // how it went, valid once exited is closed
}

// find returns the path of QEMU; qemu as in Machine.QEMU.
func find(qemu string) (string, error) {
	if qemu == "" {
		qemu = DefaultQEMU
	}
	path, err := exec.LookPath(qemu)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("qemu: %s: %w", qemu, ErrNoQEMU)
	}
	if err != nil {
		return "", fmt.Errorf("qemu: %w", err)
	}
	return path, nil
}

// start runs path in a process group of its own; files become its
// descriptors 3, 4 and so on.
func start(path string, args []string, files []*os.File) (*process, error) {
	p := &process{stderr: &sh.Tail{Max: 4 << 10}, exited: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = files
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go p.live(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// live starts the process and waits for it on one thread: the kernel sends
// the parent-death signal when the thread that forked ends, and the Go
// runtime ends idle threads that no goroutine is locked to.
func (p *process) live(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.exited)
}

// kill ends the process and its group and waits until they are gone. One that
// is gone already is left alone: its number may be another's by now.
func (p *process) kill() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	select {
	case <-p.exited:
		return nil
	case <-time.After(exitTime):
		return fmt.Errorf("qemu: process %d survived SIGKILL for %v", p.cmd.Process.Pid, exitTime)
	}
}
