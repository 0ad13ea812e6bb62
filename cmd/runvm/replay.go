package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/run"
)

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "repeat a run from its recipe and say what differs",
		ArgsUsage: "DIR | recipe.json | BUNDLE",
		Description: "Builds the kernel of a run again from the same source, patches and configuration,\n" +
			"boots it on the same machine and runs the same test binaries; what differs is\n" +
			"said, a line each: toolchain, QEMU, a source that has moved, the outcome.\n" +
			"With -bundle nothing is run: everything but the kernel's source goes into one tar\n" +
			"file, which replay takes on another machine. A bundle's programs run in the guest\n" +
			"only; its patches are built here, as all patches are.\n\n" +
			"Exit codes are those of runvm test.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Usage: "write `FILE` and stop"},
			&cli.StringFlag{Name: "kernel", Usage: "`SOURCE` in place of the recipe's, as of runvm test"},
			&cli.BoolFlag{Name: "net", Usage: "give the guest the network that the recipe's had"},
			&cli.StringSliceFlag{Name: "share", Usage: "show the guest `DIR[:PATH[:rw]]` of the host, where the recipe's saw one (repeatable)"},
			&cli.IntFlag{Name: "j", HideDefault: true, Usage: "run `N` compilers at once (default: one a CPU)"},
			&cli.StringFlag{Name: "o", Usage: "keep the run in `DIR` (default: a new folder in the cache)"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON and nothing else"},
			verboseFlag(),
		},
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    replayAction,
	}
}

func replayAction(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return &usageError{errors.New("replay: want one run, recipe or bundle"), "runvm help replay"}
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	want := run.Replay{Path: c.Args().First(), Kernel: c.String("kernel"), Net: c.Bool("net"), Jobs: c.Int("j"), Out: c.String("o")}
	if to := c.String("bundle"); to != "" {
		return cond.Bundle(ctx, want.Path, to)
	}
	for _, s := range c.StringSlice("share") {
		share, err := parseShare(s)
		if err != nil {
			return &usageError{err, "runvm help replay"}
		}
		want.Shares = append(want.Shares, share)
	}
	stdout := cond.Out
	if c.Bool("json") {
		cond.Out = nil
	}
	rep, differs, err := cond.Replay(ctx, want)
	if err != nil {
		return err
	}
	if !c.Bool("json") {
		if _, err := io.WriteString(stdout, run.Printable(compared(differs))); err != nil {
			return err
		}
	}
	return show(c, stdout, rep)
}

// compared says how a replay came out beside its recipe.
func compared(differs []string) string {
	if len(differs) == 0 {
		return "same     as the recipe: source, configuration, toolchain, QEMU and every result\n"
	}
	text := ""
	for _, d := range differs {
		text += fmt.Sprintf("differs  %s\n", d)
	}
	return text
}
