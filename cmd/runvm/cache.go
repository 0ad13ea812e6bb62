package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/kernel"
)

// keepDefault is how long an image may lie unused before `cache gc` takes it.
const keepDefault = 30 * 24 * time.Hour

func cacheCommand() *cli.Command {
	return &cli.Command{
		Name:         "cache",
		Usage:        "list or clean the images, build folders and runs that are kept",
		OnUsageError: onUsageError,
		Action: func(_ context.Context, c *cli.Command) error {
			return &usageError{fmt.Errorf("cache: want list or gc, not %q", c.Args().First()), "runvm help cache"}
		},
		Commands: []*cli.Command{
			{Name: "list", Usage: "list what is kept, the longest unused first", OnUsageError: onUsageError, Action: cacheList},
			{Name: "gc", Usage: "remove what has not been used for a while", OnUsageError: onUsageError, Action: cacheGC,
				Flags: []cli.Flag{&cli.DurationFlag{Name: "keep", Value: keepDefault, Usage: "keep what was used within `TIME`"}}},
		},
	}
}

func builder(c *cli.Command) (*kernel.Builder, error) {
	cond, err := conductor(c)
	if err != nil {
		return nil, err
	}
	return &kernel.Builder{Cache: cond.Cache, Sh: cond.Sh}, nil
}

func cacheList(_ context.Context, c *cli.Command) error {
	b, err := builder(c)
	if err != nil {
		return err
	}
	entries, err := b.List()
	if err != nil {
		return err
	}
	return table(c.Root().Writer, entries)
}

func table(w io.Writer, entries []kernel.Entry) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, e := range entries {
		busy := ""
		if e.Busy {
			busy = "in use"
		}
		name := e.Name
		if e.Kind == "image" {
			name = name[:min(12, len(name))]
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d MiB\t%s\t%s\n", e.Kind, name, e.Label, e.Bytes>>20, e.Used.Format("2006-01-02 15:04"), busy)
	}
	return tw.Flush()
}

func cacheGC(_ context.Context, c *cli.Command) error {
	keep := c.Duration("keep")
	if keep < 0 {
		return &usageError{fmt.Errorf("-keep %v: want 0 or more", keep), "runvm help cache gc"}
	}
	b, err := builder(c)
	if err != nil {
		return err
	}
	removed, err := b.GC(keep, time.Now())
	if err != nil {
		return err
	}
	if err := table(c.Root().Writer, removed); err != nil {
		return err
	}
	runs, err := oldRuns(filepath.Join(b.Cache, "run"), time.Now().Add(-keep))
	if err != nil {
		return err
	}
	for _, dir := range runs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.Root().Writer, "removed %d images and build folders, %d runs\n", len(removed), len(runs))
	return err
}

// oldRuns lists the runs below dir that were not touched since before.
func oldRuns(dir string, before time.Time) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	var old []string
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) {
			old = append(old, filepath.Join(dir, e.Name()))
		}
	}
	return old, err
}
