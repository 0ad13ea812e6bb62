package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/runvm/runvm/internal/report"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run one command in a guest and exit with its code",
		ArgsUsage: "-- COMMAND [ARG]...",
		Description: "COMMAND is a file of the host when it has a slash (it is copied into the\n" +
			"guest with its libraries and the testdata folder beside it), else one of\n" +
			"u-root's commands. Runs Go tests too: go test -exec 'runvm exec --' ./...",
		Flags:                     append(append([]cli.Flag{envFlag()}, kernelFlags()...), guestFlags()...),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    execAction,
	}
}

func envFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "env", Category: "guest", Usage: "set `NAME=VALUE` for the command (repeatable)"}
}

// commandFrom makes the run.Command of c.
func commandFrom(c *cli.Command, cond *run.Conductor) (run.Command, error) {
	guest, err := guestFrom(c)
	return run.Command{
		Kernel: kernelFrom(c), Guest: guest, Argv: c.Args().Slice(), Env: c.StringSlice("env"),
		Dir: cond.Dir, Out: c.String("o"), Command: commandLine(c, "o", "v"),
	}, err
}

func execAction(ctx context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return &usageError{errors.New("exec: no command"), "runvm help exec"}
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	x, err := commandFrom(c, cond)
	if err != nil {
		return err
	}
	code, rep, err := cond.Exec(ctx, x, cond.Out, cond.Err)
	if err != nil {
		return err
	}
	return passThrough(cond.Err, code, rep)
}

// passThrough ends with the guest's code, unless the kernel or runvm has
// something worse to say than the command did.
func passThrough(stderr io.Writer, code int, rep *verdict.Report) error {
	if code >= 0 && (rep.Verdict == verdict.Pass || rep.Verdict == verdict.Fail) {
		return exitWith(code)
	}
	if err := report.Text(stderr, rep, report.Options{Colour: isTerminal(stderr), Now: time.Now()}); err != nil {
		return err
	}
	return exitWith(rep.ExitCode())
}

func shellCommand() *cli.Command {
	return &cli.Command{
		Name:                      "shell",
		Usage:                     "open a shell with u-root's commands in a guest",
		Description:               "The guest powers off when the shell ends. Its clocks are stopped.",
		Flags:                     append(append([]cli.Flag{envFlag()}, kernelFlags()...), guestFlags()...),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    shellAction,
	}
}

func shellAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	x, err := commandFrom(c, cond)
	if err != nil {
		return err
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		err := errors.New("shell: standard input is no terminal: use runvm exec -- sh -c COMMANDS")
		return &usageError{err, "runvm help shell"}
	}
	x.Guest.Silence, x.Guest.Deadline = 0, 0
	// Built before the terminal is in raw mode, in which Ctrl-C is the guest's.
	if _, err := cond.Build(ctx, x.Kernel); err != nil {
		return err
	}
	tty, rows, cols, restore, err := terminal()
	if err != nil {
		return err
	}
	code, rep, err := cond.Shell(ctx, x, tty, rows, cols)
	restore()
	if err != nil {
		return err
	}
	return passThrough(cond.Err, code, rep)
}

// stdio is standard input and output as one thing.
type stdio struct {
	io.Reader
	io.Writer
}

// terminal is the user's terminal in raw mode, with its size and what puts it
// back.
func terminal() (tty io.ReadWriter, rows, cols uint16, restore func(), err error) {
	fd := int(os.Stdin.Fd())
	width, height, err := term.GetSize(fd)
	if err != nil {
		return nil, 0, 0, nil, fmt.Errorf("terminal: %w", err)
	}
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, 0, 0, nil, fmt.Errorf("terminal: %w", err)
	}
	return stdio{os.Stdin, os.Stdout}, uint16(height), uint16(width), func() { _ = term.Restore(fd, state) }, nil
}

func vmtestCommand() *cli.Command {
	return &cli.Command{
		Name:      "vmtest",
		Usage:     "run a suite written for github.com/hugelgupf/vmtest on a kernel of runvm's",
		ArgsUsage: "-- COMMAND [ARG]...",
		Description: "Sets VMTEST_KERNEL, VMTEST_QEMU (with the accelerator that works here) and\n" +
			"VMTEST_ARCH and runs COMMAND on the host: runvm vmtest -- go test ./...",
		Flags:                     append(kernelFlags(), guestFlags()...),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    vmtestAction,
	}
}

func vmtestAction(ctx context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return &usageError{errors.New("vmtest: no command"), "runvm help vmtest"}
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	guest, err := guestFrom(c)
	if err != nil {
		return err
	}
	env, err := cond.VMTest(ctx, kernelFrom(c), guest)
	if err != nil {
		return err
	}
	cmd := cond.Sh.Command(ctx, "", c.Args().First(), c.Args().Tail()...).With(env...)
	cmd.Stdout, cmd.Stderr = cond.Out, cond.Err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exitWith(exit.ExitCode())
	}
	if errors.Is(err, exec.ErrNotFound) {
		return &usageError{fmt.Errorf("%s: no such command", sh.Quote(c.Args().First())), "runvm help vmtest"}
	}
	return err
}
