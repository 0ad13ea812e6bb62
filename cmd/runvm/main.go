// Runvm builds a kernel, boots it in QEMU, runs tests in it and says what can
// be said of it: one verdict that covers the tests and the kernel's own
// complaints. `runvm help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/patch"
)

// Exit codes beside those of verdict.
const (
	exitUsage       = 2
	exitStop        = 128 // wrong usage within a bisection, see usageCode
	exitInterrupted = 130 // as a shell says it of SIGINT
)

func main() {
	os.Exit(runvm(os.Args, os.Stdout, os.Stderr))
}

// runvm runs the command line args and returns the exit code.
func runvm(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := root(stdout, stderr).Run(ctx, args)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "runvm: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "runvm: %s%s\n", run.Printable(err.Error()), advice(err))
	if errors.Is(err, run.ErrUsage) {
		return usageCode()
	}
	return verdict.ExitNoVerdict
}

// advice is what to do about a full disk, "" where that is not the trouble.
// Not every program that runvm calls says that it had no room.
func advice(err error) string {
	const room = "make room, or set XDG_CACHE_HOME to a folder that has some"
	if run.NoRoom(err) {
		return ": " + room
	}
	dir, _ := os.UserCacheDir()
	var disk syscall.Statfs_t
	if !errors.Is(err, run.ErrUsage) && syscall.Statfs(dir, &disk) == nil && disk.Bavail*uint64(disk.Bsize) < minRoom {
		return fmt.Sprintf(" (the disk of %s is full: %s)", dir, room)
	}
	return ""
}

// minRoom is what a disk has left, in bytes, on which nothing can be done.
const minRoom = 1 << 20

// usageCode is the exit code of wrong usage. git bisect run would blame a
// commit for a 2; at 128 and more it stops (git-bisect(1)).
func usageCode() int {
	path, err := exec.Command("git", "rev-parse", "--git-path", "BISECT_LOG").Output()
	if err != nil {
		return exitUsage
	}
	if _, err := os.Stat(strings.TrimSpace(string(path))); err != nil {
		return exitUsage
	}
	return exitStop
}

// exitCode is an error that has been reported and only sets the exit code.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError makes err a mistake in the command line.
type usageError struct {
	err  error
	help string // the command whose help explains it
}

func (e *usageError) Error() string        { return fmt.Sprintf("%v (see '%s')", e.err, e.help) }
func (e *usageError) Is(target error) bool { return target == run.ErrUsage }

// root is the whole command line.
func root(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "runvm",
		Usage: "build a kernel, boot it, run tests in it, give a verdict",
		Description: "A kernel developer's command: sources and patches in, a verdict out.\n" +
			"The tests' results and the kernel's complaints are judged together: a test\n" +
			"that passes on a kernel that splatted is a crash.\n\n" +
			"Exit codes: 0 pass, 1 the kernel or a test is wrong, 2 wrong usage (128 in a\n" +
			"repository that is being bisected: git bisect run stops), 125 no verdict\n" +
			"(git bisect run reads it as skip), 130 interrupted.",
		Writer: stdout, ErrWriter: stderr,
		EnableShellCompletion: true,
		ConfigureShellCompletionCommand: func(c *cli.Command) {
			c.Hidden = false
			c.Usage = "print the completion script of bash, zsh, fish or pwsh"
		},
		HideVersion:               true,
		ExitErrHandler:            func(context.Context, *cli.Command, error) {},
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("unknown command %q", c.Args().First()), "runvm help"}
			}
			return cli.ShowRootCommandHelp(c)
		},
		Commands: []*cli.Command{
			testCommand(), abCommand(), amCommand(), benchCommand(), bisectCommand(), reprosCommand(), buildCommand(), sourceCommand(), execCommand(), shellCommand(), vmtestCommand(),
			judgeCommand(), reportCommand(), replayCommand(), cacheCommand(), doctorCommand(),
		},
	}
}

// onUsageError makes one line of a wrong flag where the library would print
// the whole help.
func onUsageError(_ context.Context, c *cli.Command, err error, _ bool) error {
	return &usageError{errors.New(strings.ReplaceAll(err.Error(), "flag provided but not defined: ", "unknown flag ")), "runvm help " + strings.TrimPrefix(c.FullName(), "runvm ")}
}

// conductor makes the conductor of a command from its flags.
func conductor(c *cli.Command) (*run.Conductor, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	w := c.Root().ErrWriter
	var runner sh.Runner
	if c.Bool("v") {
		runner.Echo = w
	}
	return &run.Conductor{
		Cache: cache, Dir: dir, Sh: runner, Patches: loader(c),
		Progress:  progress.New(w, isTerminal(w)),
		Host:      distro.Host(runner, w),
		KernelOrg: os.Getenv("RUNVM_KERNEL_ORG"),
		Out:       c.Root().Writer,
		Err:       w,
	}, nil
}

// loader reads the patches of a command.
func loader(c *cli.Command) *patch.Loader {
	l := &patch.Loader{Stdin: os.Stdin}
	if c.Bool("v") {
		l.Sh.Echo = c.Root().ErrWriter
	}
	return l
}

// cacheDir is runvm's folder in the user's cache directory ($XDG_CACHE_HOME,
// else ~/.cache), made and known to be writable.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache: %w: set XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(base, "runvm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache: %w: set XDG_CACHE_HOME to a folder that can be written", err)
	}
	if err := syscall.Access(dir, 2); err != nil { // W_OK of access(2)
		return "", fmt.Errorf("cache: %s cannot be written: set XDG_CACHE_HOME to a folder that can", dir)
	}
	return dir, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
