package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/run"
)

// maxLog bounds a console log that judge reads, in bytes; of a longer one the
// first part is judged, for the first complaint is what counts.
const maxLog = 256 << 20

func judgeCommand() *cli.Command {
	return &cli.Command{
		Name:      "judge",
		Usage:     "judge recorded bytes again: a run's folder, or bare console logs",
		ArgsUsage: "DIR | -console FILE...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "console", Usage: "arguments are console logs: print a line of JSON for each"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		},
		OnUsageError: onUsageError,
		Action:       judgeAction,
	}
}

func judgeAction(_ context.Context, c *cli.Command) error {
	args := c.Args().Slice()
	if c.Bool("console") {
		return judgeConsoles(c.Root().Writer, args)
	}
	if len(args) != 1 {
		return &usageError{errors.New("judge: want the folder of one run"), "runvm help judge"}
	}
	rep, err := run.Rejudge(args[0])
	if err != nil {
		return err
	}
	return show(c, c.Root().Writer, rep)
}

// judged is the line that judge -console prints for a log. Of a log in which
// nothing was found all but File is empty.
type judged struct {
	File      string       `json:"file"`
	Found     bool         `json:"found"`
	Kind      console.Kind `json:"kind"`
	Title     string       `json:"title"`
	Corrupted bool         `json:"corrupted"`
	Guilty    string       `json:"guilty"` // function of the guilty frame
	First     int          `json:"first"`  // lines of the report, from 1
	Last      int          `json:"last"`
}

func judgeConsoles(w io.Writer, files []string) error {
	if len(files) == 0 {
		return &usageError{errors.New("judge -console: no file"), "runvm help judge"}
	}
	enc := json.NewEncoder(w)
	for _, name := range files {
		log, err := readLog(name)
		if err != nil {
			return &usageError{fmt.Errorf("judge: %w", err), "runvm help judge"}
		}
		line := judged{File: name}
		if crashes := console.Find(log); len(crashes) > 0 {
			first := crashes[0]
			line.Found, line.Kind, line.Title, line.Corrupted = true, first.Kind, first.Title, first.Corrupted
			line.Guilty, line.First, line.Last = first.Guilty.Func, first.Lines[0], first.Lines[1]
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func readLog(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLog))
}
