package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/vm"
)

// kernelFlags say which kernel is built.
func kernelFlags() []cli.Flag {
	const category = "kernel"
	return []cli.Flag{
		&cli.StringFlag{Name: "kernel", Value: run.Auto, HideDefault: true, Category: category, Usage: "`SOURCE` (default: the newest at hand that the patches apply to; without patches 6.12): 6.12 (Debian's linux-source-6.12, else kernel.org's newest), 6.12.63 (kernel.org), a tree, or a vmlinux or bzImage"},
		&cli.StringFlag{Name: "base", Category: category, Usage: "build the `COMMIT` of the git tree that -kernel names, or worktree: what lies there, committed or not (default: the commit that the patches were made on, if they say and it is there; else worktree)"},
		&cli.StringSliceFlag{Name: "patches", Category: category, Usage: "apply the series in `PATCHES`: a folder, a mail, an mbox or Maildir with its thread, -, TREE:BASE..TIP, or a Message-ID (repeatable; see help am)"},
		&cli.StringFlag{Name: "profile", Value: "plain", Category: category, Usage: "configuration `NAME`: plain, debug, dump, or a comma-separated list with *.config files of yours; what they set to m is loaded before the first test"},
		&cli.StringFlag{Name: "config", Category: category, Usage: "start from the .config in `FILE` instead of tinyconfig"},
		&cli.IntFlag{Name: "j", Category: category, HideDefault: true, Usage: "run `N` compilers at once (default: one a CPU)"},
		verboseFlag(),
	}
}

func verboseFlag() cli.Flag {
	return &cli.BoolFlag{Name: "v", Usage: "echo every command so that it can be pasted, and show all output of tests"}
}

// guestFlags say what the kernel is booted on.
func guestFlags() []cli.Flag {
	const category = "guest"
	return []cli.Flag{
		&cli.IntFlag{Name: "memory", Value: 1024, Category: category, Usage: "memory in `MIB`"},
		&cli.IntFlag{Name: "cpus", Value: 1, Category: category, Usage: "`N` virtual CPUs"},
		&cli.StringFlag{Name: "accel", Value: vm.Auto, Category: category, Usage: "`NAME`: kvm, tcg, or auto: kvm where it really works"},
		&cli.BoolFlag{Name: "deterministic", Category: category, Usage: "guest time counts instructions: the same inputs give the same bytes"},
		&cli.BoolFlag{Name: "cold", Category: category, Usage: "boot the guest, even where one like it has booted before and could go on from there"},
		&cli.Int64Flag{Name: "seed", Category: category, Usage: "start deterministic random numbers from `N`"},
		&cli.StringSliceFlag{Name: "append", Category: category, Usage: "add `ARG` to the kernel's command line (repeatable)"},
		&cli.StringSliceFlag{Name: "share", Category: category, Usage: "show the guest the directory `DIR[:PATH[:rw]]` of the host, read-only and at the same path unless said otherwise"},
		&cli.StringSliceFlag{Name: "with", Category: category, Usage: "put the host's `PROGRAM`, a path or a name, into the guest's /usr/bin, with its libraries (repeatable)"},
		&cli.BoolFlag{Name: "net", Category: category, Usage: "give the guest a network card behind QEMU's NAT"},
		&cli.StringFlag{Name: "disk", Category: category, Usage: "give the guest a virtio disk, /dev/vda, which is gone afterwards: `MIB|IMAGE` is the size of an empty one, or a raw image to be copied"},
		&cli.DurationFlag{Name: "silence", Value: 2 * time.Minute, Category: category, Usage: "give up when neither console nor tests said anything for `TIME`"},
		&cli.DurationFlag{Name: "timeout", Value: 10 * time.Minute, Category: category, Usage: "give up when the guest has run for `TIME`"},
		&cli.BoolFlag{Name: "dump", Category: category, Usage: "keep the memory of a guest that hangs or panics, as a core for gdb; -profile dump has the types that crash and drgn need"},
		&cli.StringFlag{Name: "o", Category: category, Usage: "keep the run in `DIR` (default: a new folder in the cache)"},
	}
}

func kernelFrom(c *cli.Command) run.Kernel {
	return run.Kernel{
		Spec: c.String("kernel"), Base: c.String("base"), Patches: c.StringSlice("patches"),
		Profile: c.String("profile"), Config: c.String("config"), Jobs: c.Int("j"),
	}
}

func guestFrom(c *cli.Command) (run.Guest, error) {
	g := run.Guest{
		MemoryMiB: c.Int("memory"), CPUs: c.Int("cpus"), Accel: c.String("accel"),
		Deterministic: c.Bool("deterministic"), Seed: c.Int64("seed"), Cold: c.Bool("cold"), Core: c.Bool("dump"),
		Append: c.StringSlice("append"), With: c.StringSlice("with"), Net: c.Bool("net"),
		Silence: c.Duration("silence"), Deadline: c.Duration("timeout"),
	}
	if c.IsSet("disk") {
		disk, err := parseDisk(c.String("disk"))
		if err != nil {
			return g, &usageError{err, "runvm help " + c.Name}
		}
		g.Disk = disk
	}
	for _, s := range c.StringSlice("share") {
		share, err := parseShare(s)
		if err != nil {
			return g, &usageError{err, "runvm help " + c.Name}
		}
		g.Shares = append(g.Shares, share)
	}
	return g, nil
}

// parseDisk reads MIB|IMAGE: a number is a size.
func parseDisk(s string) (run.Disk, error) {
	mib, err := strconv.Atoi(s)
	switch {
	case s == "":
		return run.Disk{}, errors.New("-disk: want a size in MiB, or a file")
	case errors.Is(err, strconv.ErrRange) || err == nil && mib < 1:
		return run.Disk{}, fmt.Errorf("-disk %s: want 1 to %d MiB", s, run.MaxDiskMiB)
	case err == nil:
		return run.Disk{MiB: mib}, nil
	}
	image, err := filepath.Abs(s)
	return run.Disk{Image: image}, err
}

// parseShare reads DIR[:PATH[:rw]].
func parseShare(s string) (run.Share, error) {
	parts := strings.Split(s, ":")
	dir, err := filepath.Abs(parts[0])
	if err != nil {
		return run.Share{}, err
	}
	share := run.Share{Dir: dir, Path: dir}
	if len(parts) > 1 && parts[1] != "" {
		share.Path = path.Clean(parts[1])
	}
	if len(parts) > 2 {
		share.Writable = parts[2] == "rw"
	}
	if len(parts) > 3 || len(parts) == 3 && parts[2] != "rw" && parts[2] != "ro" {
		return share, fmt.Errorf("-share %s: want DIR[:PATH[:rw]]", s)
	}
	return share, nil
}

// commandLine is the command with the flags that were set, so that it can be
// given again; the flags named in without are left out.
func commandLine(c *cli.Command, without ...string) []string {
	line := []string{"runvm", c.Name}
	for _, f := range c.Flags {
		name := f.Names()[0]
		if !f.IsSet() || slices.Contains(without, name) {
			continue
		}
		switch v := f.Get().(type) {
		case bool:
			line = append(line, "-"+name)
		case []string:
			for _, s := range v {
				line = append(line, "-"+name, s)
			}
		default:
			line = append(line, "-"+name, fmt.Sprint(v))
		}
	}
	return line
}
