package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// A Conductor carries plans out. Its fields are what stages lean on.
type Conductor struct {
	// Cache is runvm's folder in the user's cache directory.
	Cache string
	// Dir is where Go packages are looked up.
	Dir      string
	Sh       sh.Runner
	Progress progress.Sink
	// Patches reads series; nil reads those that need no standard input.
	Patches *patch.Loader
	// Host installs what is missing.
	Host *distro.System
	// KernelOrg is the address of kernel.org's releases; "" is the default.
	KernelOrg string
	// Out receives live results, Err remarks; nil is nowhere.
	Out, Err io.Writer

	mu     sync.Mutex // also one remark at a time
	stages []verdict.Stage
	first  *Conductor // that this one is again; nil for itself
	waits  sync.Once  // that a deterministic guest waits for its disk is said once
}

// origin is the conductor that all are again which carry out one plan of a user.
func (c *Conductor) origin() *Conductor {
	if c.first != nil {
		return c.first
	}
	return c
}

// stage runs f as the stage name: it is timed and named in f's error. The
// note that f returns tells what a person would want to know of it.
func (c *Conductor) stage(name string, f func() (note string, err error)) error {
	start := time.Now()
	note, err := f()
	c.mu.Lock()
	c.timed(verdict.Stage{Name: name, Elapsed: time.Since(start), Note: note})
	c.mu.Unlock()
	if err != nil && !errors.Is(err, ErrUsage) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// timed adds s to the stages; one that comes again, as for each guest, to the
// time of the first.
func (c *Conductor) timed(s verdict.Stage) {
	for i := range c.stages {
		if old := &c.stages[i]; old.Name == s.Name {
			old.Elapsed, old.Note = old.Elapsed+s.Elapsed, s.Note
			return
		}
	}
	c.stages = append(c.stages, s)
}

// say writes a remark to Err.
func (c *Conductor) say(format string, args ...any) {
	if c.Err == nil {
		return
	}
	origin := c.origin()
	origin.mu.Lock()
	defer origin.mu.Unlock()
	fmt.Fprintf(c.Err, format+"\n", args...)
}

// Needs lists what the machine must have to build (or only boot) k.
func Needs(k Kernel) []distro.Need {
	if k.Ready() {
		return distro.VM()
	}
	return append(distro.Build(), distro.VM()...)
}

// Built is a kernel that is ready to boot, with what it was made from.
type Built struct {
	*kernel.Image
	// Tree is the source with all patches; nil for a ready image.
	Tree *source.Tree
	// Base is the source without them; nil where there are none.
	Base    *source.Tree
	Applied []patch.Applied
	// On is the kernel that was meant, its source and base definite; Why says
	// how it was found, "" where the user named it.
	On  Kernel
	Why string
	// Series are what Applied is out of.
	Series []patch.Series
	// Gaps are, for each of Applied, the lines it wrote that are in no object.
	Gaps [][]verdict.Gap
}

// Build makes the image of k: the stages fetch, patch and build.
func (c *Conductor) Build(ctx context.Context, k Kernel) (*Built, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if err := c.Host.Ensure(ctx, Needs(k)); err != nil {
		return nil, err
	}
	if k.Ready() {
		b := &kernel.Builder{Cache: c.Cache, Sh: c.Sh, Progress: c.Progress}
		image, err := b.Ready(k.Spec)
		if err != nil {
			return nil, usagef("-kernel %s: %w", k.Spec, err)
		}
		if image.BzImage == "" && !image.PVH {
			return nil, usagef("-kernel %s: built without CONFIG_PVH, which QEMU needs: give the bzImage of the same build", k.Spec)
		}
		return &Built{Image: image}, nil
	}
	built, err := c.source(ctx, k)
	if err != nil {
		return nil, err
	}
	return built, c.stage("build", func() (note string, err error) {
		if err := c.image(ctx, k, built); err != nil {
			return "", err
		}
		if built.Cached {
			note = "cached"
		}
		return note, nil
	})
}

// source fetches and patches k, without building it: the stages fetch and
// patch.
func (c *Conductor) source(ctx context.Context, k Kernel) (*Built, error) {
	series, err := c.load(ctx, k.Patches)
	if err != nil {
		return nil, err
	}
	built := &Built{}
	var found *base
	err = c.stage("fetch", func() (note string, err error) {
		if found, err = c.base(ctx, k, series); err != nil {
			return "", err
		}
		built.Tree, built.On, built.Why = found.tree, found.kernel, found.why
		if built.Tree.Note != "" {
			c.say("%s", built.Tree.Note)
		}
		if built.Why != "" {
			c.say("base: %s", Printable(built.Why))
		}
		return built.Tree.Name, nil
	})
	if err != nil {
		return nil, err
	}
	return built, c.patch(ctx, found, built)
}

// patch applies the series of a base to built.Tree.
func (c *Conductor) patch(ctx context.Context, on *base, built *Built) error {
	if len(on.series) == 0 {
		return nil
	}
	return c.stage("patch", func() (note string, err error) {
		for _, s := range on.series {
			for _, n := range s.Notes {
				c.say("patches %s: %s", Printable(s.Path), Printable(n))
			}
		}
		built.Base, built.Series = built.Tree, on.series
		built.Tree, built.Applied, err = patch.Apply(ctx, c.Sh, built.Tree, on.series, on.kernel.Fuzz, c.Progress)
		if misfit := new(patch.ApplyError); errors.As(err, &misfit) {
			err = fmt.Errorf("%w (the tree is %s)", err, Printable(built.Base.Name))
		}
		return fmt.Sprintf("%d applied", len(built.Applied)), err
	})
}

// image builds the image of built.Tree and finds out what of the patches is
// in it.
func (c *Conductor) image(ctx context.Context, k Kernel, built *Built) error {
	b := &kernel.Builder{Cache: c.Cache, Sh: c.Sh, Progress: c.Progress}
	var err error
	built.Image, err = b.Build(ctx, kernel.Request{Tree: built.Tree, Profile: k.Profile, Config: k.Config, Jobs: k.Jobs})
	if err != nil {
		return err
	}
	if built.Gaps, err = c.gaps(ctx, built); err != nil {
		return fmt.Errorf("what of the patches is compiled: %w", err)
	}
	return nil
}

// kernelInfo is what a report says of the kernel.
func (c *Conductor) kernelInfo(k Kernel, b *Built) verdict.Kernel {
	info := verdict.Kernel{Name: k.Spec, Version: b.Release, Key: b.Key, Profile: k.Profile, Patches: k.Patches, Image: b.Dir, Built: b.Built}
	if b.Tree != nil {
		info.Name, info.Version = b.Tree.Name, b.Tree.Version
		info.Base = b.Why
		info.Tree, info.Applied = b.Tree.ID, applied(b.Applied, b.Gaps)
	} else {
		info.Image, info.Profile = k.Spec, ""
	}
	return info
}

// machine is the VM of g for the kernel b; its root file system is image,
// which may be nil.
func (c *Conductor) machine(ctx context.Context, g Guest, b *Built, image *initramfs.Image) (vm.Machine, error) {
	accel := g.Accel
	if g.Deterministic {
		accel = vm.TCG
	}
	picked, err := vm.Pick(ctx, accel, vm.DefaultQEMU, c.Cache)
	if err != nil {
		return vm.Machine{}, err
	}
	m := vm.Machine{
		Kernel: b.BzImage, Append: append(g.kernelArgs(), g.Append...),
		MemoryMiB: g.MemoryMiB, CPUs: g.CPUs, Accel: picked, Deterministic: g.Deterministic, Seed: g.Seed, Net: g.Net,
	}
	if b.Vmlinux != "" && (b.PVH || b.BzImage == "") {
		m.Kernel = b.Vmlinux
	}
	if image != nil {
		m.Initrd, m.Payload = image.Base, image.Run
	}
	for i, s := range g.Shares {
		m.Shares = append(m.Shares, vm.Share{Tag: shareTag(i), Dir: s.Dir, ReadOnly: !s.Writable})
	}
	return m, nil
}

// snapshots is the folder of booted guests, "" when g is to boot.
func (c *Conductor) snapshots(g Guest) string {
	if g.Cold {
		return ""
	}
	return filepath.Join(c.Cache, "snapshot")
}

func shareTag(i int) string { return fmt.Sprintf("share%d", i) }

// kernelArgs end a run soon after its kernel is lost. An oops leaves locks held
// and memory wrong, so what follows would only blame the innocent; a CPU that
// is stuck complains for ever and lets nothing else run; a task stuck for 30 s,
// under a debug kernel on a slow machine too, is stuck, and its process with it.
// Not so where time counts instructions and there is a disk: while a guest is
// idle its clock leaps from timer to timer, and the host may take a while.
func (g Guest) kernelArgs() []string {
	hung := "sysctl.kernel.hung_task_timeout_secs=30"
	if g.Deterministic && g.Disk.there() {
		hung = "sysctl.kernel.hung_task_timeout_secs=0"
	}
	return []string{"oops=panic", "softlockup_panic=1", "sysctl.kernel.panic_on_rcu_stall=1",
		hung, "sysctl.kernel.hung_task_panic=1"}
}

// images returns the builder of root file systems.
func (c *Conductor) images() *initramfs.Builder {
	return &initramfs.Builder{Cache: filepath.Join(c.Cache, "initramfs"), Sh: c.Sh, Progress: c.Progress}
}

// toolchain returns the compiler of Go tests.
func (c *Conductor) toolchain() *gotest.Toolchain {
	return &gotest.Toolchain{Cache: filepath.Join(c.Cache, "gotest"), Dir: c.Dir, Sh: c.Sh, Progress: c.Progress}
}

// recorder opens the directory of a run that is about to boot built.
func (c *Conductor) recorder(out string, started time.Time, command []string, k Kernel, built *Built, progs *programs) (*recorder, error) {
	dir, err := c.runDir(out, started)
	if err != nil {
		return nil, err
	}
	rec, err := newRecorder(dir, progs.planned)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	rec.in.KUnit = progs.kunit
	rec.in.Run = verdict.Run{
		ID: filepath.Base(dir), Dir: dir, Console: filepath.Join(dir, consoleFile),
		Started: started, Again: typed(named(command, k, built), dir, k, built), Kernel: c.kernelInfo(k, built),
	}
	if err := rec.keepConfig(built.Config); err != nil {
		rec.close()
		return nil, err
	}
	return rec, nil
}

// Folder makes the directory for what has no run: out, or a new one in the
// cache.
func (c *Conductor) Folder(out string) (string, error) { return c.runDir(out, time.Now()) }

// named is command with the source that was found for it, so that it means the
// same when another one is newer.
func named(command []string, k Kernel, b *Built) []string {
	if k.Spec != Auto || len(command) < 2 || b.Tree == nil {
		return command
	}
	source := []string{"-kernel", b.On.Spec}
	if b.On.Base != "" && k.Base == "" {
		source = append(source, "-base", b.On.Base)
	}
	return slices.Insert(slices.Clone(command), 2, source...)
}

// typed is command with the folder in dir, the run's, where the patches are kept
// that came by standard input: nobody has them there a second time.
func typed(command []string, dir string, k Kernel, b *Built) []string {
	command = slices.Clone(command)
	n := len(b.Series) - len(k.Patches) // what those need comes first
	for i, word := range command {
		if i == 0 || command[i-1] != "-patches" {
			continue
		}
		if n++; word == "-" {
			command[i] = filepath.Join(dir, keptSeries(n-1))
		}
	}
	return command
}

// runDir makes the directory of a run: out, or a new one in the cache named
// after the time.
func (c *Conductor) runDir(out string, now time.Time) (string, error) {
	if out != "" {
		dir, err := filepath.Abs(out)
		if err != nil {
			return "", err
		}
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return "", usagef("-o %s: the folder is not empty", out)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", usagef("-o %s: %w", out, err)
		}
		return dir, nil
	}
	parent := filepath.Join(c.Cache, "run")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, now.Format("2006-01-02T15.04.05-"))
}
