package main

import (
	"context"
	"io"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/bisect"
	"github.com/runvm/runvm/internal/run"
)

func bisectCommand() *cli.Command {
	const category = "tests"
	flags := []cli.Flag{
		ontoFlag(),
		&cli.StringFlag{Name: "title", Category: category, Usage: "look for a complaint of the kernel whose title matches `REGEXP` (default: what is wrong with all patches applied)"},
		&cli.StringFlag{Name: "bench", Category: category, Usage: "run benchmarks that match `REGEXP` and look for the one that is worse by the most"},
		&cli.FloatFlag{Name: "threshold", Value: 5, Category: category, Usage: "with -bench: it must be worse by `PERCENT` or more, beyond chance"},
		&cli.IntFlag{Name: "count", Value: 3, Category: category, HideDefault: true, Usage: "`N` runs must agree on a kernel (default: 3, with -bench 5); where they do not, it runs up to 10 times as often"},
		&cli.BoolFlag{Name: "json", Category: category, Usage: "print the result as JSON and nothing else"},
	}
	return &cli.Command{
		Name:      "bisect",
		Usage:     "find the patch of a series that breaks a test, makes the kernel complain or slows a benchmark",
		ArgsUsage: "[PACKAGE | SCRIPT | PROGRAM]...",
		Description: "Makes sure that the kernel with all -patches is bad and the one without is good,\n" +
			"then halves the series. Only one symptom counts: a complaint by its -title, a\n" +
			"benchmark of -bench, or what the tests say with all patches; whatever else goes\n" +
			"wrong is skipped, as is a kernel that does not build or boot. The same command again goes on where an\n" +
			"interrupted one stopped. For commits of a tree, -patches TREE:GOOD..BAD, or\n" +
			"git bisect run runvm test -kernel . PACKAGE... (with -base worktree, where -patches are\n" +
			"given that say which commit they were made on)\n\n" +
			"Exit codes: 0 one patch is named, 125 none, or several because of skips.",
		Flags:                     slices.Concat(flags, repeatedFlags(), kernelFlags(), guestFlags()),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    bisectAction,
	}
}

// benchCount is how many runs a benchmark is judged by where nothing is said.
const benchCount = 5

// ontoFlag names what is below a series that is taken apart.
func ontoFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "onto", Category: "tests", Usage: "apply the series in `PATCHES` to every kernel, the base too, before -patches (repeatable)"}
}

func bisectAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	base, k := c.StringSlice("onto"), kernelFrom(c)
	k.Patches = slices.Concat(base, k.Patches)
	plan, err := repeatedPlan(c, cond.Dir, k)
	if err != nil {
		return err
	}
	count := c.Int("count")
	if c.IsSet("bench") && !c.IsSet("count") {
		count = benchCount
	}
	result, err := cond.Bisect(ctx, run.Bisect{
		Plan: plan, Base: base, Title: c.String("title"), Threshold: c.Float("threshold") / 100, Count: count, Out: c.String("o"),
	})
	if err != nil {
		return err
	}
	if err := writeResult(c, cond.Out, result, func(w io.Writer) error { return bisect.Text(w, result) }); err != nil {
		return err
	}
	return exitWith(result.ExitCode())
}
