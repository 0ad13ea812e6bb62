package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/bench"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/report"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/verdict"
)

// maxFigures bounds a file of recorded figures and one of bars, in bytes.
const maxFigures = 64 << 20

func benchCommand() *cli.Command {
	const category = "benchmarks"
	flags := []cli.Flag{
		&cli.StringFlag{Name: "bench", Value: ".", Category: category, Usage: "run benchmarks that match `REGEXP`, as go test does"},
		&cli.IntFlag{Name: "count", Value: 2, Category: category, Usage: "run them `N` times in guests whose time counts instructions, each with a seed of its own, one on each CPU"},
		&cli.IntFlag{Name: "timed", Category: category, Usage: "run them `N` times more in guests that go by the clock (10 for figures to rely on)"},
		&cli.StringFlag{Name: "line", Value: "path", Category: category, Usage: "`KEY` of names, as in Read/KEY=copy, whose values are lines of a plot"},
		&cli.StringFlag{Name: "x", Value: "size", Category: category, Usage: "`KEY` whose values are the x axis"},
		&cli.StringSliceFlag{Name: "bars", Category: category, Usage: "hold the ratios that `FILE` names against the figures (repeatable)"},
	}
	guest := slices.DeleteFunc(guestFlags(), func(f cli.Flag) bool { return f.Names()[0] == "deterministic" })
	return &cli.Command{
		Name:      "bench",
		Usage:     "run benchmarks in a kernel and show them as a table and plots",
		ArgsUsage: "[PACKAGE... | FILE...]",
		Description: "Builds the kernel unless it is cached, runs the benchmarks of Go packages\n" +
			"(default: the one here) in guests of it, and writes medians with 95 %\n" +
			"intervals: table.txt, table.csv and, for each unit, UNIT.svg and UNIT.png with\n" +
			"a panel for each group of benchmarks, a line for each -line, over -x. With files\n" +
			"of what go test -bench wrote, it shows those and runs nothing.\n\n" +
			"Exit codes: 0 it is shown, 1 a bar is missed or unknown or a run went wrong,\n" +
			"125 no verdict.",
		Flags:                     slices.Concat(flags, kernelFlags(), guest),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    benchAction,
	}
}

func benchAction(ctx context.Context, c *cli.Command) error {
	bars, err := barsFrom(c)
	if err != nil {
		return err
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	set := bench.New(bench.Layout{Line: c.String("line"), X: c.String("x")})
	dir, code := "", 0
	if files := recordedFiles(c.Args().Slice()); len(files) > 0 {
		if len(files) < c.Args().Len() {
			return &usageError{errors.New("bench: files and packages do not mix"), "runvm help bench"}
		}
		if err := addFiles(set, files); err != nil {
			return err
		}
		if dir, err = cond.Folder(c.String("o")); err != nil {
			return err
		}
	} else {
		done, err := runBench(ctx, c, cond)
		if err != nil {
			return err
		}
		dir, code = done.Dir, done.Worst.ExitCode()
		if code != 0 {
			if err := report.Text(cond.Out, done.Worst, report.Options{Colour: isTerminal(cond.Out), Now: time.Now()}); err != nil {
				return err
			}
		}
		if err := set.Add("", strings.NewReader(done.Text)); err != nil {
			return err
		}
	}
	if len(set.Rows) == 0 {
		fmt.Fprintln(cond.Err, "runvm: bench: no figures: nothing to show")
		return exitWith(max(code, verdict.ExitNoVerdict))
	}
	missed, err := showBench(cond.Out, set, bars, dir)
	if err == nil && missed {
		code = max(code, verdict.ExitWrong)
	}
	return errors.Join(err, exitWith(code))
}

// runBench runs the benchmarks that c names.
func runBench(ctx context.Context, c *cli.Command, cond *run.Conductor) (*run.Benched, error) {
	guest, err := guestFrom(c)
	if err != nil {
		return nil, err
	}
	return cond.Bench(ctx, run.Bench{
		Counted: c.Int("count"), Timed: c.Int("timed"), Out: c.String("o"),
		Plan: run.Plan{
			Kernel: kernelFrom(c), Guest: guest, Targets: c.Args().Slice(), Dir: cond.Dir,
			Select:  gotest.Selection{Run: "^$", Bench: c.String("bench"), Count: 1},
			Command: append(testLine(c, kernelFrom(c)), "-run", "^$"),
		},
	})
}

// recordedFiles are the arguments that are files: packages are folders.
func recordedFiles(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		info, err := os.Stat(arg)
		return err != nil || !info.Mode().IsRegular()
	})
}

func addFiles(set *bench.Set, files []string) error {
	for _, name := range files {
		data, err := readFile(name)
		if err != nil {
			return err
		}
		if err := set.Add(filepath.Base(name), bytes.NewReader(data)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// readFile reads a file of at most maxFigures bytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFigures+1))
	if err == nil && len(data) > maxFigures {
		err = fmt.Errorf("%s: longer than %d MiB", name, maxFigures>>20)
	}
	return data, err
}

func barsFrom(c *cli.Command) ([]bench.Bar, error) {
	var all []bench.Bar
	for _, name := range c.StringSlice("bars") {
		data, err := readFile(name)
		var bars []bench.Bar
		if err == nil {
			bars, err = bench.Bars(data)
		}
		if err != nil {
			return nil, &usageError{fmt.Errorf("-bars %s: %w", name, err), "runvm help bench"}
		}
		all = append(all, bars...)
	}
	return all, nil
}

// showBench prints set and what it says of bars, and keeps both in dir with the
// plots; missed tells that a bar is not met.
func showBench(w io.Writer, set *bench.Set, bars []bench.Bar, dir string) (missed bool, err error) {
	var text bytes.Buffer
	if err := set.Text(&text); err != nil {
		return false, err
	}
	found := set.Check(bars)
	if len(bars) > 0 {
		text.WriteByte('\n')
		if err := bench.Findings(&text, found); err != nil {
			return false, err
		}
	}
	if err := keepBench(set, text.Bytes(), dir); err != nil {
		return false, err
	}
	fmt.Fprintf(&text, "kept     %s\n", dir)
	_, err = w.Write(text.Bytes())
	return slices.ContainsFunc(found, func(f bench.Finding) bool { return !f.OK() }), err
}

// keepBench writes table and plots into dir.
func keepBench(set *bench.Set, text []byte, dir string) error {
	write := func(name string, do func(io.Writer) error) error {
		var b bytes.Buffer
		if err := do(&b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return renameio.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)
	}
	err := errors.Join(write("table.csv", set.CSV), renameio.WriteFile(filepath.Join(dir, "table.txt"), text, 0o644))
	for _, unit := range set.Units {
		picture, plotErr := set.Picture(unit)
		if plotErr != nil || picture == nil {
			err = errors.Join(err, plotErr)
			continue
		}
		name := fileName(unit)
		err = errors.Join(err, write(name+".svg", picture.SVG), write(name+".png", picture.PNG))
	}
	return err
}

// fileName makes a unit the name of a file: "srv-instr/KiB" is
// "srv-instr-per-KiB". What a guest made up stays in the folder.
func fileName(unit string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, strings.ReplaceAll(unit, "/", "-per-"))
	return name[:min(len(name), 100)]
}
