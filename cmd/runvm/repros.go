package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/repro"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/verdict"
)

func reprosCommand() *cli.Command {
	const category = "tests"
	flags := []cli.Flag{
		&cli.IntFlag{Name: "count", Value: 1, Category: category, Usage: "run each kernel `N` times, each time in a guest of its own"},
		&cli.BoolFlag{Name: "n", Usage: "list them and stop"},
		&cli.BoolFlag{Name: "json", Category: category, Usage: "print the results as JSON and nothing else"},
		&cli.IntFlag{Name: "j", Category: "kernel", HideDefault: true, Usage: "run `N` compilers at once (default: one a CPU)"},
		verboseFlag(),
	}
	return &cli.Command{
		Name:      "repros",
		Usage:     "bring real bugs of the kernel back and show each, with and without its fix",
		ArgsUsage: "[NAME]...",
		Description: "Runs the guest tests of the folder repros (those named, default: all), each on\n" +
			"a kernel that has the bug and on one that has not, and prints a table. A bug is\n" +
			"shown when every run of the first ends as repros/NAME/repro.toml says and every\n" +
			"run of the other passes. repros/NAME/README.md tells of the bug.\n\n" +
			"Exit codes: 0 all are shown, 1 one is not, 125 one has no verdict.",
		Flags:                     slices.Concat(flags, guestFlags()),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    reprosAction,
	}
}

// loadRepros reads the repros called names, default: all.
func loadRepros(dir string, names []string) ([]*repro.Repro, error) {
	root, err := repro.Root(dir)
	if err == nil && len(names) == 0 {
		names, err = repro.Names(root)
	}
	var all []*repro.Repro
	for _, name := range names {
		if err == nil {
			var r *repro.Repro
			r, err = repro.Load(root, name)
			all = append(all, r)
		}
	}
	if errors.Is(err, repro.ErrBad) {
		return nil, &usageError{err, "runvm help repros"}
	}
	return all, err
}

func reprosAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	bugs, err := loadRepros(cond.Dir, c.Args().Slice())
	if err != nil {
		return err
	}
	if c.Bool("n") {
		return repro.List(cond.Out, bugs)
	}
	var all []*repro.Result
	for _, bug := range bugs {
		r, err := reproFrom(c, cond.Dir, bug)
		if err != nil {
			return err
		}
		if r.Out != "" {
			r.Out = filepath.Join(r.Out, bug.Name)
		}
		result, err := cond.Repro(ctx, r)
		if ctx.Err() != nil || errors.Is(err, run.ErrUsage) {
			return err
		}
		if err != nil {
			result = repro.NewResult(bug)
			result.Err = err.Error()
		}
		all = append(all, result)
	}
	if err := writeResult(c, cond.Out, all, func(w io.Writer) error { return repro.Table(w, all) }); err != nil {
		return err
	}
	return exitWith(reprosCode(all))
}

// reprosCode is 1 where a bug is not shown, else 125 where one has no verdict.
func reprosCode(all []*repro.Result) int {
	code := verdict.ExitPass
	for _, r := range all {
		if c := r.ExitCode(); c == verdict.ExitWrong || code == verdict.ExitPass {
			code = c
		}
	}
	return code
}

// reproAction is `runvm test -repro NAME`.
func reproAction(ctx context.Context, c *cli.Command, cond *run.Conductor) error {
	for _, f := range []string{"kernel", "base", "patches", "each", "onto", "profile", "config", "run", "skip", "bench", "allow", "keep-going", "retry-failed", "short", "n"} {
		if c.IsSet(f) {
			return &usageError{fmt.Errorf("-repro says itself what is built and tested: leave out -%s", f), "runvm help test"}
		}
	}
	if c.Args().Present() {
		return &usageError{fmt.Errorf("-repro says itself what is tested: leave out %s", c.Args().First()), "runvm help test"}
	}
	bugs, err := loadRepros(cond.Dir, []string{c.String("repro")})
	if err != nil {
		return err
	}
	r, err := reproFrom(c, cond.Dir, bugs[0])
	if err != nil {
		return err
	}
	result, err := cond.Repro(ctx, r)
	if err != nil {
		return err
	}
	if err := writeResult(c, cond.Out, result, func(w io.Writer) error { return repro.Text(w, result) }); err != nil {
		return err
	}
	return exitWith(result.ExitCode())
}

// reproFrom is bug to be run as the flags say, from the folder dir.
func reproFrom(c *cli.Command, dir string, bug *repro.Repro) (run.Repro, error) {
	guest, err := guestFrom(c)
	if err != nil {
		return run.Repro{}, err
	}
	return run.Repro{
		Bug: bug, Guest: guest, Jobs: c.Int("j"), Count: c.Int("count"), Out: c.String("o"),
		Command: func(k run.Kernel, g run.Guest) []string { return reproLine(c, dir, k, g) },
	}, nil
}

// reproLine is the `runvm test` that is one run of k.
func reproLine(c *cli.Command, dir string, k run.Kernel, g run.Guest) []string {
	k.Patches = slices.Clone(k.Patches)
	for i, p := range k.Patches {
		if rel, err := filepath.Rel(dir, p); err == nil {
			k.Patches[i] = rel
		}
	}
	line := kernelLine(k)
	line = append(line, "-cpus", strconv.Itoa(g.CPUs), "-memory", strconv.Itoa(g.MemoryMiB))
	for _, arg := range g.Append {
		line = append(line, "-append", arg)
	}
	return append(line, commandLine(c, "repro", "count", "cpus", "memory", "append", "o", "json", "v", "n")[2:]...)
}
