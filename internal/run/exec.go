package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/internal/wire"
)

// execDir is where a program of the host lies and runs in the guest.
const execDir = "/runvm/exec"

// Command is one program to run in a guest.
type Command struct {
	Kernel Kernel
	Guest  Guest
	// Argv is a file of the host (a path with a slash that exists), which is
	// copied into the guest with the libraries it needs and the testdata
	// folder beside it, or else a command of the guest.
	Argv []string
	Env  []string
	Dir  string // of the host, where Argv[0] and testdata are looked up
	Out  string // as in Plan
	// Command is the command line up to Argv.
	Command []string
}

// Exec runs x and returns its exit code, 128 and more for a signal, and the
// report on the kernel. What x writes goes to stdout and stderr as it comes.
func (c *Conductor) Exec(ctx context.Context, x Command, stdout, stderr io.Writer) (int, *verdict.Report, error) {
	progs, err := x.programs()
	if err != nil {
		return 0, nil, err
	}
	if err := c.addWith(ctx, progs, x.Dir, x.Guest.With); err != nil {
		return 0, nil, err
	}
	code := -1
	report, err := c.guest(ctx, x, progs, func(_ gotest.Event, rec wire.Record) {
		switch {
		case rec.Type == wire.Out && rec.Stream == 2:
			stderr.Write(rec.Bytes())
		case rec.Type == wire.Out:
			stdout.Write(rec.Bytes())
		case rec.Type == wire.Exit:
			code = exitCode(rec)
		case rec.Type == wire.Error:
			fmt.Fprintln(stderr, Printable(rec.Text))
		}
	}, nil)
	return code, report, err
}

// exitCode is what a shell would make of rec.
func exitCode(rec wire.Record) int {
	if rec.Signal != 0 {
		return 128 + rec.Signal
	}
	return rec.Code
}

// Shell connects a terminal of rows and cols to a shell in the guest.
func (c *Conductor) Shell(ctx context.Context, x Command, tty io.ReadWriter, rows, cols uint16) (int, *verdict.Report, error) {
	progs := &programs{commands: true}
	progs.tests = []wire.Test{{ID: "shell", Argv: []string{"/bin/sh"}, Env: append(x.Env, "TERM=linux"), TTY: "hvc0", Rows: rows, Cols: cols}}
	progs.planned = []verdict.Planned{{ID: "shell"}}
	if err := c.addWith(ctx, progs, x.Dir, x.Guest.With); err != nil {
		return 0, nil, err
	}
	code := -1
	report, err := c.guest(ctx, x, progs, func(_ gotest.Event, rec wire.Record) {
		if rec.Type == wire.Exit {
			code = exitCode(rec)
		}
	}, tty)
	return code, report, err
}

// programs prepares x's program.
func (x *Command) programs() (*programs, error) {
	progs := &programs{}
	argv := append([]string(nil), x.Argv...)
	dir := "/"
	if source, ok := x.file(); ok {
		prog, err := initramfs.NewProgram(source, execDir+"/"+filepath.Base(source))
		if err != nil {
			return nil, usagef("%s: %w", argv[0], err)
		}
		progs.files, progs.commands, dir, argv[0] = prog.Files, prog.Script, execDir, prog.Path
		if err := progs.addTestdata(x.Dir, execDir); err != nil {
			return nil, err
		}
	} else {
		progs.commands = true
	}
	progs.tests = []wire.Test{{ID: x.Argv[0], Argv: argv, Env: x.Env, Dir: dir}}
	progs.planned = []verdict.Planned{{ID: x.Argv[0]}}
	return progs, nil
}

// file returns the host's file that x names, if it names one.
func (x *Command) file() (string, bool) {
	name := x.Argv[0]
	if !strings.Contains(name, "/") {
		return "", false
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(x.Dir, name)
	}
	info, err := os.Stat(name)
	return name, err == nil && info.Mode().IsRegular()
}

// guest boots x's kernel and runs progs in it.
func (c *Conductor) guest(ctx context.Context, x Command, progs *programs, live func(gotest.Event, wire.Record), tty io.ReadWriter) (*verdict.Report, error) {
	if err := x.Guest.check(); err != nil {
		return nil, err
	}
	started := time.Now()
	built, err := c.Build(ctx, x.Kernel)
	if err != nil {
		return nil, err
	}
	rec, err := c.recorder(x.Out, started, x.Command, x.Kernel, built, progs)
	if err != nil {
		return nil, err
	}
	defer rec.close()
	rec.live, rec.tty = live, tty
	return c.cooked(ctx, cooking{x.Kernel, x.Guest, policy{}, built, progs}, rec)
}

// VMTest returns the environment in which a suite written for
// github.com/hugelgupf/vmtest runs on k with the accelerator that works here.
func (c *Conductor) VMTest(ctx context.Context, k Kernel, g Guest) ([]string, error) {
	built, err := c.Build(ctx, k)
	if err != nil {
		return nil, err
	}
	m, err := c.machine(ctx, g, built, nil)
	if err != nil {
		return nil, err
	}
	return []string{
		"VMTEST_ARCH=amd64",
		"VMTEST_KERNEL=" + m.Kernel,
		fmt.Sprintf("VMTEST_QEMU=%s -accel %s -m %d -smp %d", vm.DefaultQEMU, m.Accel.Name, m.MemoryMiB, m.CPUs),
	}, nil
}
