package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/each"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/report"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/verdict"
)

func testCommand() *cli.Command {
	const category = "tests"
	flags := []cli.Flag{
		&cli.StringFlag{Name: "run", Category: category, Usage: "run only tests that match `REGEXP`, as go test does"},
		&cli.StringFlag{Name: "skip", Category: category, Usage: "skip tests that match `REGEXP`"},
		&cli.StringFlag{Name: "bench", Category: category, Usage: "run benchmarks that match `REGEXP`"},
		&cli.IntFlag{Name: "count", Value: 1, Category: category, Usage: "run each test `N` times"},
		&cli.StringSliceFlag{Name: "allow", Category: category, Usage: "let the kernel's complaints that `FILE` lists not fail the run (repeatable)"},
		&cli.BoolFlag{Name: "keep-going", Category: category, Usage: "when a guest dies, run what it did not reach in another one"},
		&cli.StringFlag{Name: "kunit", Category: category, Usage: "run the kernel's own KUnit tests that match `SUITE[.TEST]`, * for all, and without a PACKAGE nothing else; -profile plain,kunit has them"},
		&cli.IntFlag{Name: "retry-failed", Category: category, Usage: "run tests that failed up to `N` more times; one that passes then is flaky and fails the run no longer"},
		&cli.BoolFlag{Name: "short", Category: category, Usage: "tell long tests to be short"},
		&cli.BoolFlag{Name: "each", Category: category, Usage: "build, boot and check the kernel with the first patch, the first two, and so on: can git bisect stop at each?"},
		ontoFlag(),
		&cli.BoolFlag{Name: "json", Category: category, Usage: "print the report as JSON and nothing else"},
		&cli.StringFlag{Name: "repro", Category: category, Usage: "run the test of the bug `NAME` in the folder repros, on the kernel with the bug and on the one without (see help repros)"},
		&cli.BoolFlag{Name: "n", Usage: "print the plan and stop"},
	}
	return &cli.Command{
		Name:      "test",
		Usage:     "run tests in a kernel and judge both",
		ArgsUsage: "[PACKAGE | SCRIPT | PROGRAM]...",
		Description: "Builds the kernel unless it is cached, compiles the Go test packages named\n" +
			"(default: the one here), boots one guest and runs them in it. Scripts and\n" +
			"static programs are tests too: exit code 0 is a pass. So are the kernel's own: the\n" +
			"results of KUnit are read from the console, wherever there are some.\n\n" +
			"With -each the same is done for every prefix of the -patches; beside it stands what\n" +
			"checkpatch and sparse newly complain of, and what of a patch is not compiled.",
		Flags:                     append(append(flags, kernelFlags()...), guestFlags()...),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    testAction,
	}
}

func testAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	if c.IsSet("repro") {
		return reproAction(ctx, c, cond)
	}
	guest, err := guestFrom(c)
	if err != nil {
		return err
	}
	allow, err := run.LoadAllow(c.StringSlice("allow"))
	if err != nil {
		return err
	}
	kernel, err := testKernel(c)
	if err != nil {
		return err
	}
	plan := run.Plan{
		Kernel: kernel, Guest: guest, Targets: c.Args().Slice(), Dir: cond.Dir, Out: c.String("o"),
		Select: gotest.Selection{
			Run: c.String("run"), Skip: c.String("skip"), Bench: c.String("bench"),
			Count: c.Int("count"), Short: c.Bool("short"), Verbose: c.Bool("v"),
		},
		Allow: allow, KUnit: c.String("kunit"), KeepGoing: c.Bool("keep-going"), Retry: c.Int("retry-failed"),
		Command: ontoLine(c.StringSlice("onto"), commandLine(c, "run", "kunit", "o", "json", "n", "v", "each", "onto")),
	}
	if c.Bool("n") {
		if err := plan.Check(); err != nil {
			return err
		}
		_, err := fmt.Fprint(cond.Out, plan.String())
		return err
	}
	stdout := cond.Out
	if c.Bool("json") {
		cond.Out = nil
	}
	if c.Bool("each") {
		return eachAction(ctx, c, cond, plan, stdout)
	}
	rep, err := cond.Test(ctx, plan)
	if err != nil {
		return err
	}
	return show(c, stdout, rep)
}

// testKernel is the kernel of a test, with the series that -each leaves alone.
func testKernel(c *cli.Command) (run.Kernel, error) {
	k := kernelFrom(c)
	if c.IsSet("onto") && !c.Bool("each") {
		return k, &usageError{errors.New("-onto is for -each: without it, give -patches in their order"), "runvm help test"}
	}
	k.Patches = slices.Concat(c.StringSlice("onto"), k.Patches)
	return k, nil
}

// ontoLine is line with the patches onto before its own.
func ontoLine(onto, line []string) []string {
	first := line[:2:2] // runvm test
	for _, p := range onto {
		first = append(first, "-patches", p)
	}
	return append(first, line[2:]...)
}

// eachAction is testAction with -each.
func eachAction(ctx context.Context, c *cli.Command, cond *run.Conductor, plan run.Plan, stdout io.Writer) error {
	result, err := cond.Each(ctx, plan, c.StringSlice("onto"))
	if err != nil {
		return err
	}
	if err := writeResult(c, stdout, result, func(w io.Writer) error { return each.Text(w, result) }); err != nil {
		return err
	}
	return exitWith(result.ExitCode())
}

// show prints rep in the form asked for and returns its exit code.
func show(c *cli.Command, stdout interface{ Write([]byte) (int, error) }, rep *verdict.Report) error {
	write := func() error {
		return report.Text(stdout, rep, report.Options{Colour: isTerminal(stdout), Now: time.Now()})
	}
	if c.Bool("json") {
		write = func() error { return report.JSON(stdout, rep) }
	}
	if err := write(); err != nil {
		return err
	}
	return exitWith(rep.ExitCode())
}

// exitWith returns nil for 0, so that it can end an Action.
func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}
