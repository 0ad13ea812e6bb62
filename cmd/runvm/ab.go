package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/compare"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/run"
)

func abCommand() *cli.Command {
	const tests, base = "tests", "base"
	flags := []cli.Flag{
		&cli.StringFlag{Name: "base-kernel", Category: base, Usage: "`SOURCE` of the base (default: that of -kernel)"},
		&cli.StringSliceFlag{Name: "base-patches", Category: base, Usage: "apply the series in `PATCHES` to the base (default: none; repeatable)"},
		&cli.StringFlag{Name: "base-profile", Category: base, Usage: "configuration `NAME` of the base (default: that of -profile)"},
		&cli.StringFlag{Name: "base-config", Category: base, Usage: "start the base from the .config in `FILE` (default: that of -config)"},
		&cli.StringFlag{Name: "bench", Category: tests, Usage: "run benchmarks that match `REGEXP` and compare their figures"},
		&cli.IntFlag{Name: "count", Value: 3, Category: tests, Usage: "run each side `N` times, by turns"},
		&cli.FloatFlag{Name: "threshold", Category: tests, Usage: "a benchmark that is worse by `PERCENT` or more, beyond chance, is a regression (default: never)"},
		&cli.BoolFlag{Name: "json", Category: tests, Usage: "print the result as JSON and nothing else"},
	}
	return &cli.Command{
		Name:      "ab",
		Usage:     "run the same tests with and without patches and say what changed",
		ArgsUsage: "[PACKAGE | SCRIPT | PROGRAM]...",
		Description: "Builds the kernel with -patches and a base, by default the same kernel without\n" +
			"them, runs the tests on both by turns and prints what changed: tests that newly\n" +
			"fail or pass, new and gone complaints of the kernel, flaky tests, benchmarks.\n" +
			"-deterministic guests run one on each CPU, unless they write to a disk.\n\n" +
			"Exit codes: 0 nothing is worse, 1 a regression, 125 a side has no verdict.",
		Flags:                     slices.Concat(flags, repeatedFlags(), kernelFlags(), guestFlags()),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    abAction,
	}
}

// repeatedFlags say which tests run, of commands that run them many times.
func repeatedFlags() []cli.Flag {
	const category = "tests"
	return []cli.Flag{
		&cli.StringFlag{Name: "run", Category: category, Usage: "run only tests that match `REGEXP`, as go test does"},
		&cli.StringFlag{Name: "skip", Category: category, Usage: "skip tests that match `REGEXP`"},
		&cli.StringSliceFlag{Name: "allow", Category: category, Usage: "let the kernel's complaints that `FILE` lists not count (repeatable)"},
		&cli.BoolFlag{Name: "keep-going", Category: category, Usage: "when a guest dies, run what it did not reach in another one"},
		&cli.BoolFlag{Name: "short", Category: category, Usage: "tell long tests to be short"},
	}
}

// repeatedPlan is the plan of one of many runs on k.
func repeatedPlan(c *cli.Command, dir string, k run.Kernel) (run.Plan, error) {
	guest, err := guestFrom(c)
	if err != nil {
		return run.Plan{}, err
	}
	allow, err := run.LoadAllow(c.StringSlice("allow"))
	if err != nil {
		return run.Plan{}, err
	}
	return run.Plan{
		Kernel: k, Guest: guest, Targets: c.Args().Slice(), Dir: dir,
		Select: gotest.Selection{Run: c.String("run"), Skip: c.String("skip"), Bench: c.String("bench"), Count: 1, Short: c.Bool("short")},
		Allow:  allow, KeepGoing: c.Bool("keep-going"), Command: testLine(c, k),
	}, nil
}

// testLine is the `runvm test` that is one run of c on k.
func testLine(c *cli.Command, k run.Kernel) []string {
	return append(kernelLine(k), commandLine(c, "run", "o", "json", "v", "count", "threshold", "title", "onto", "timed", "line", "x", "bars",
		"kernel", "base", "patches", "profile", "config", "base-kernel", "base-patches", "base-profile", "base-config")[2:]...)
}

// kernelLine is the `runvm test` of k.
func kernelLine(k run.Kernel) []string {
	line := []string{"runvm", "test"}
	if k.Spec != run.Auto {
		line = append(line, "-kernel", k.Spec)
	}
	if k.Base != "" {
		line = append(line, "-base", k.Base)
	}
	for _, p := range k.Patches {
		line = append(line, "-patches", p)
	}
	if k.Profile != "plain" && k.Profile != "" {
		line = append(line, "-profile", k.Profile)
	}
	if k.Config != "" {
		line = append(line, "-config", k.Config)
	}
	return line
}

// baseFrom is the kernel that k is compared with.
func baseFrom(c *cli.Command, k run.Kernel) (run.Kernel, error) {
	set := slices.ContainsFunc([]string{"patches", "base-kernel", "base-patches", "base-profile", "base-config"}, c.IsSet)
	if !set {
		return k, &usageError{fmt.Errorf("ab: both sides are the same: name -patches, -base-kernel, -base-patches, -base-profile or -base-config"), "runvm help ab"}
	}
	k.Patches = c.StringSlice("base-patches")
	if c.IsSet("base-kernel") {
		k.Base = "" // which is of -kernel
	}
	for flag, field := range map[string]*string{"base-kernel": &k.Spec, "base-profile": &k.Profile, "base-config": &k.Config} {
		if c.IsSet(flag) {
			*field = c.String(flag)
		}
	}
	return k, nil
}

func abAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	ab := run.AB{Count: c.Int("count"), Threshold: c.Float("threshold") / 100, Out: c.String("o")}
	patched := kernelFrom(c)
	base, err := baseFrom(c, patched)
	if err != nil {
		return err
	}
	if ab.Patched, err = repeatedPlan(c, cond.Dir, patched); err != nil {
		return err
	}
	if ab.Base, err = repeatedPlan(c, cond.Dir, base); err != nil {
		return err
	}
	result, err := cond.AB(ctx, ab)
	if err != nil {
		return err
	}
	if err := writeResult(c, cond.Out, result, func(w io.Writer) error { return compare.Text(w, result) }); err != nil {
		return err
	}
	return exitWith(result.ExitCode())
}

// writeResult writes v as JSON where that is asked for, else by text.
func writeResult(c *cli.Command, w io.Writer, v any, text func(io.Writer) error) error {
	if !c.Bool("json") {
		return text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(v)
}
