package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/report"
	"github.com/runvm/runvm/internal/run"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "show a run once more, in a form that people or programs read",
		ArgsUsage: "DIR",
		Description: "DIR is the folder of a run, which stays as it is. Formats:\n" +
			"  text       as runvm test shows it\n" +
			"  json       report.json, see docs/report.md\n" +
			"  junit      JUnit XML, for Jenkins and its like\n" +
			"  ktap       KTAP version 1, for tools that read kselftests and KUnit\n" +
			"  kcidb      JSON of KCIDB's schema 5.3, for KernelCI\n" +
			"  test2json  the events of go test -json\n" +
			"  github     annotations; the summary goes to $GITHUB_STEP_SUMMARY if that is set\n" +
			"  matrix     tables of counts: a row for a test, a column for its subtests\n" +
			"  html       one page that needs nothing but itself\n" +
			"  mail       72 columns of text, for an answer to a mailing list\n\n" +
			"Exit code 0 means that the report was written, whatever the verdict is.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`NAME` of the format"},
			&cli.StringFlag{Name: "o", Usage: "write to `FILE` instead of standard output"},
			&cli.StringFlag{Name: "origin", Value: report.DefaultOrigin, Usage: "`NAME` of the submitter, for kcidb"},
		},
		OnUsageError: onUsageError,
		Action:       reportAction,
	}
}

func reportAction(_ context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return &usageError{errors.New("report: want the folder of one run"), "runvm help report"}
	}
	dir, format := c.Args().First(), c.String("format")
	write := writers(c, dir)[format]
	if write == nil {
		return &usageError{fmt.Errorf("-format %s: want text, json, junit, ktap, kcidb, test2json, github, matrix, html or mail", format), "runvm help report"}
	}
	rep, err := run.Load(dir)
	if err != nil {
		return err
	}
	log, err := run.Console(dir)
	if err != nil {
		return err
	}
	source := report.Source{Report: rep, Console: log, Other: func(name string) []byte { return run.OtherConsole(dir, rep, name) }}
	var b bytes.Buffer
	if err := write(&b, source); err != nil {
		return err
	}
	if format == "github" {
		if err := summarize(os.Getenv("GITHUB_STEP_SUMMARY"), source); err != nil {
			return err
		}
	}
	if name := c.String("o"); name != "" {
		return renameio.WriteFile(name, b.Bytes(), 0o644)
	}
	_, err = c.Root().Writer.Write(b.Bytes())
	return err
}

// writers are the formats by name.
func writers(c *cli.Command, dir string) map[string]func(io.Writer, report.Source) error {
	return map[string]func(io.Writer, report.Source) error{
		"text": func(w io.Writer, s report.Source) error {
			colour := c.String("o") == "" && isTerminal(c.Root().Writer)
			return report.Text(w, s.Report, report.Options{Colour: colour, Now: time.Now()})
		},
		"json":   func(w io.Writer, s report.Source) error { return report.JSON(w, s.Report) },
		"junit":  report.JUnit,
		"ktap":   report.KTAP,
		"github": report.GitHub,
		"matrix": report.Matrix,
		"html":   report.HTML,
		"mail":   report.Mail,
		"kcidb": func(w io.Writer, s report.Source) error {
			err := report.KCIDB(w, s, strings.TrimSpace(c.String("origin")))
			if errors.Is(err, report.ErrOrigin) {
				return &usageError{fmt.Errorf("-%w", err), "runvm help report"}
			}
			return err
		},
		"test2json": func(w io.Writer, _ report.Source) error {
			events, err := run.Events(dir)
			if err != nil {
				return err
			}
			_, err = w.Write(events)
			return err
		},
	}
}

// summarize appends the summary of a step to file; nothing without a file.
func summarize(file string, s report.Source) error {
	if file == "" {
		return nil
	}
	var b bytes.Buffer
	if err := report.Summary(&b, s); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	return errors.Join(err, f.Close())
}
