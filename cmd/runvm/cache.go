package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
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
		Usage:        "list or clean what is kept: images, build folders, snapshots, runs",
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

// folders are what lies in the cache beside images and build folders, by what
// may be removed: a run, a snapshot and a folder of tests go as a whole.
func folders() []string { return []string{"run", "snapshot", "gotest", "symbol"} }

// sources are kept whole: what is in them is shared by all kernels.
const sources = "source"

func cacheList(_ context.Context, c *cli.Command) error {
	b, err := builder(c)
	if err != nil {
		return err
	}
	entries, err := b.List()
	if err != nil {
		return err
	}
	for _, name := range append(folders(), "initramfs", sources) {
		e, err := weigh(b.Cache, name)
		if err != nil {
			return err
		}
		if e.Bytes > 0 {
			entries = append(entries, e)
		}
	}
	return table(c.Root().Writer, entries)
}

// weigh is the folder called name as one entry.
func weigh(cache, name string) (kernel.Entry, error) {
	e := kernel.Entry{Kind: name, Name: "-"}
	inside, err := os.ReadDir(filepath.Join(cache, name))
	if os.IsNotExist(err) {
		return e, nil
	}
	e.Label = fmt.Sprintf("%d in it", len(inside))
	err = filepath.WalkDir(filepath.Join(cache, name), func(_ string, d fs.DirEntry, err error) error {
		// What somebody removes meanwhile weighs nothing.
		if info, gone := d.Info(); err == nil && gone == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				e.Bytes += s.Blocks * 512 // a guest's memory is mostly holes
			}
			if info.ModTime().After(e.Used) {
				e.Used = info.ModTime()
			}
		}
		return nil
	})
	return e, err
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
	others := 0
	for _, name := range folders() {
		old, err := unused(filepath.Join(b.Cache, name), time.Now().Add(-keep))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
		others += len(old)
	}
	_, err = fmt.Fprintf(c.Root().Writer, "removed %d images and build folders, %d runs, snapshots and compiled tests\n", len(removed), others)
	return err
}

// unused lists what lies in dir and was not touched since before.
func unused(dir string, before time.Time) ([]string, error) {
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
