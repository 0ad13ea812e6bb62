package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/kernel/patch"
)

func amCommand() *cli.Command {
	return &cli.Command{
		Name:      "am",
		Usage:     "show the series in mails, sorted and complete or not",
		ArgsUsage: "PATCHES",
		Description: "Reads what -patches of other commands reads: an mbox (also .gz) or Maildir\n" +
			"with a whole thread, a mail, a folder of patches, - (standard input),\n" +
			"TREE:BASE..TIP of a git tree, or a Message-ID or address that b4 fetches.\n" +
			"Shows the newest version in it, what is missing, what it was made on, and\n" +
			"the trailers that answers gave. Nothing is applied.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Usage: "write the sorted series into the new folder `DIR`, for git am and -patches"},
			verboseFlag(),
		},
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    amAction,
	}
}

func amAction(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return &usageError{errors.New("am: want one PATCHES"), "runvm help am"}
	}
	spec := c.Args().First()
	if err := patch.CheckSpec(spec); err != nil {
		return &usageError{fmt.Errorf("am %s: %w", spec, err), "runvm help am"}
	}
	all, err := loader(c).Read(ctx, []string{spec})
	if err != nil {
		return err
	}
	s := all[0]
	if _, err := io.WriteString(c.Root().Writer, run.Printable(describeSeries(&s))); err != nil {
		return err
	}
	if err := s.Whole(); err != nil {
		return fmt.Errorf("am %s: %w", spec, err)
	}
	if dir := c.String("o"); dir != "" {
		return s.Write(dir)
	}
	return nil
}

// describeSeries tells what was read, a line a fact.
func describeSeries(s *patch.Series) string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", what, fmt.Sprintf(format, args...))
	}
	line("series", "%s", s.Title)
	line("version", "%d", s.Version)
	cover := "no cover letter"
	if s.HasCover() {
		cover = "cover letter"
	}
	if s.Total > 0 {
		line("patches", "%d of %d, %s", len(s.Patches), s.Total, cover)
	} else {
		line("patches", "%d", len(s.Patches))
	}
	missing := s.Missing
	for i, p := range s.Patches {
		for len(missing) > 0 && missing[0] < p.Number {
			line("", "%3d  MISSING", missing[0])
			missing = missing[1:]
		}
		n := p.Number
		if n == 0 {
			n = i + 1
		}
		line("", "%3d  %s  (%s)", n, p.Subject, p.Name)
	}
	for _, n := range missing {
		line("", "%3d  MISSING", n)
	}
	describeRest(s, line)
	return b.String()
}

// describeRest tells of the series what is not its patches.
func describeRest(s *patch.Series, line func(what, format string, args ...any)) {
	if s.BaseCommit != "" {
		line("base", "%s", s.BaseCommit)
	}
	for _, id := range s.Needs {
		line("needs", "patch-id %s", id)
	}
	for _, t := range s.Trailers {
		to := "all"
		if t.Number > 0 {
			to = fmt.Sprintf("%d/%d", t.Number, s.Total)
		}
		line("given", "%s: %s (%s)", t.Key, t.Value, to)
	}
	for _, n := range s.Notes {
		line("note", "%s", n)
	}
}
