package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/internal/wire"
	"github.com/runvm/runvm/kernel"
)

// Test carries p out and returns what can be said of it. An error means that
// there is no verdict: nothing was booted, or this machine failed.
func (c *Conductor) Test(ctx context.Context, p Plan) (*verdict.Report, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	started := time.Now()
	built, progs, err := c.prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	rec, err := c.recorder(p.Out, started, p.Command, p.Kernel, built, progs)
	if err != nil {
		return nil, err
	}
	defer rec.close()
	rec.live, rec.in.Allow = c.live(p.Select), p.Allow
	return c.cooked(ctx, cooking{p.Kernel, p.Guest, policy{keepGoing: p.KeepGoing, retry: p.Retry}, built, progs}, rec)
}

// finish boots the guest and judges what was recorded.
func (c *Conductor) finish(ctx context.Context, g Guest, built *Built, progs *programs, rec *recorder) (*verdict.Report, error) {
	if err := c.boot(ctx, g, built, progs, rec); err != nil {
		return nil, err
	}
	rec.in.Run.Stages = c.stages
	return c.judgeWith(ctx, built, progs, rec)
}

// prepare builds the kernel and, at the same time, compiles the tests: a test
// that does not compile must not wait for a kernel.
func (c *Conductor) prepare(ctx context.Context, p Plan) (*Built, *programs, error) {
	var built *Built
	var progs *programs
	var wrong error
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		progs, err = c.programs(gctx, p)
		return err
	})
	group.Go(func() error {
		built, wrong = c.Build(gctx, p.Kernel)
		return wrong
	})
	err := group.Wait()
	if errors.Is(wrong, ErrUsage) { // no matter which of the two was first
		err = wrong
	}
	if err != nil {
		return nil, nil, err
	}
	return built, progs, nil
}

// programs are what the guest runs, in the forms that the stages want.
type programs struct {
	files    []initramfs.File
	tests    []wire.Test
	planned  []verdict.Planned
	commands bool   // u-root's commands are needed
	kunit    string // Plan.KUnit

	selection gotest.Selection // of the tests of packages
}

// programs compiles p's packages and takes in its scripts and binaries.
func (c *Conductor) programs(ctx context.Context, p Plan) (*programs, error) {
	progs := &programs{selection: p.Select, kunit: p.KUnit}
	patterns, files := p.split()
	if len(patterns) > 0 {
		err := c.stage("compile", func() (string, error) { return "", c.packages(ctx, p, patterns, progs) })
		if err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if err := progs.addFile(p.Dir, f); err != nil {
			return nil, err
		}
	}
	return progs, c.addWith(ctx, progs, p.Dir, p.Guest.With)
}

// packages compiles the packages that patterns name and plans their tests.
func (c *Conductor) packages(ctx context.Context, p Plan, patterns []string, progs *programs) error {
	tc := c.toolchain()
	tc.Dir = p.Dir
	pkgs, err := tc.List(ctx, patterns)
	if err != nil {
		return err
	}
	var chosen []gotest.Package
	var names [][]string
	for _, pkg := range pkgs {
		tests, err := p.Select.Plan(pkg)
		if err != nil {
			return usagef("%w", err)
		}
		if len(tests) > 0 {
			chosen, names = append(chosen, pkg), append(names, tests)
		}
	}
	if len(chosen) == 0 {
		return usagef("no test matches -run %q -skip %q -bench %q in %d packages: nothing would be tested", p.Select.Run, p.Select.Skip, p.Select.Bench, len(pkgs))
	}
	binaries, err := tc.Compile(ctx, chosen)
	if err != nil {
		return err
	}
	for i, bin := range binaries {
		if err := progs.addPackage(p, bin, names[i]); err != nil {
			return err
		}
	}
	return nil
}

// addPackage adds a compiled test and the package's testdata.
func (ps *programs) addPackage(p Plan, bin gotest.Binary, tests []string) error {
	pkg := bin.Package
	path := filepath.Join(pkg.GuestDir(), filepath.Base(pkg.ImportPath)+".test")
	ps.files = append(ps.files, initramfs.File{Path: path, Source: bin.Path, Mode: 0o755})
	if err := ps.addTestdata(pkg.Dir, pkg.GuestDir()); err != nil {
		return err
	}
	ps.tests = append(ps.tests, wire.Test{ID: pkg.ImportPath, Argv: append([]string{path}, p.Select.Flags()...), Dir: pkg.GuestDir(), Marks: true})
	ps.planned = append(ps.planned, verdict.Planned{
		ID: pkg.ImportPath, Arg: argument(p, pkg), Go: true, Tests: tests, Count: p.Select.Count,
	})
	return nil
}

// argument is what a user types for pkg: a path below the plan's directory
// where that is possible.
func argument(p Plan, pkg gotest.Package) string {
	rel, err := filepath.Rel(p.Dir, pkg.Dir)
	if err != nil || !filepath.IsLocal(rel) {
		return pkg.ImportPath
	}
	return "./" + rel
}

// addTestdata takes the testdata folder of dir along, as `go test` has it in
// its working directory.
func (ps *programs) addTestdata(dir, guestDir string) error {
	testdata := filepath.Join(dir, "testdata")
	if _, err := os.Stat(testdata); err != nil {
		return nil
	}
	files, err := folder(testdata, guestDir+"/testdata")
	ps.files = append(ps.files, files...)
	return err
}

// addFile adds a script or a binary, judged by its exit code.
func (ps *programs) addFile(dir, name string) error {
	source := name
	if !filepath.IsAbs(source) {
		source = filepath.Join(dir, name)
	}
	prog, err := initramfs.NewProgram(source, fmt.Sprintf("/test/%d/%s", len(ps.tests), filepath.Base(name)))
	if err != nil {
		return usagef("%s: %w", name, err)
	}
	ps.files = append(ps.files, prog.Files...)
	ps.commands = ps.commands || prog.Script
	ps.tests = append(ps.tests, wire.Test{ID: name, Argv: []string{prog.Path}, Dir: filepath.Dir(prog.Path)})
	ps.planned = append(ps.planned, verdict.Planned{ID: name, Arg: name})
	return nil
}

// kernelArgs choose the kernel's own tests.
func (ps *programs) kernelArgs() []string {
	if ps.kunit == "" {
		return nil
	}
	return []string{"kunit.enable=1", "kunit.filter_glob=" + ps.kunit}
}

// benchTime is for how long benchmarks run where time counts instructions, which
// many of do not make a figure better: 30 million of them.
const benchTime = 125 * time.Millisecond

// testsIn are the tests as g runs them.
func (ps *programs) testsIn(g Guest) []wire.Test {
	if !g.Deterministic || ps.selection.Bench == "" {
		return ps.tests
	}
	tests := slices.Clone(ps.tests)
	for i, t := range tests {
		if t.Marks {
			tests[i].Argv = slices.Insert(slices.Clone(t.Argv), 1, "-test.benchtime="+benchTime.String())
		}
	}
	return tests
}

// guestModules are the modules of a kernel and where in the guest they lie.
func guestModules(image *kernel.Image) (files []initramfs.File, paths []string) {
	for _, source := range image.Modules {
		path := "/lib/modules/" + filepath.Base(source)
		files = append(files, initramfs.File{Path: path, Source: source})
		paths = append(paths, path)
	}
	return files, paths
}

// boot makes the root file system and runs the guest, everything recorded.
func (c *Conductor) boot(ctx context.Context, g Guest, built *Built, progs *programs, rec *recorder) error {
	files, modules := guestModules(built.Image)
	spec := initramfs.Spec{Files: append(files, progs.files...), Commands: progs.commands, Plan: wire.Plan{
		Version: wire.Version, Key: built.Short(), Tests: progs.testsIn(g), Kernel: len(progs.tests) == 0, Hostname: "runvm", Shares: guestShares(g),
		Modules: modules,
	}}
	var image *initramfs.Image
	err := c.stage("image", func() (note string, err error) {
		image, err = c.images().Build(ctx, spec)
		return "", err
	})
	if err != nil {
		return err
	}
	machine, err := c.machine(ctx, g, built, image)
	if err != nil {
		return err
	}
	machine.Append = append(machine.Append, progs.kernelArgs()...)
	machine.TTY, machine.PauseOnPanic = rec.tty != nil, g.Core
	if g.Disk.there() {
		disk := filepath.Join(rec.dir, diskFile)
		defer func() { _ = os.Remove(disk) }()
		if rec.disk != "" {
			g.Disk.SHA256 = rec.disk // as the run's first guest had it
		}
		err := c.stage("disk", func() (note string, err error) {
			rec.disk, err = g.Disk.write(ctx, disk)
			return g.Disk.String(), err
		})
		if err != nil {
			return err
		}
		machine.Disks = []vm.Disk{{Path: disk, Made: g.Disk.command(disk)}}
	}
	core := ""
	if g.Core {
		core = filepath.Join(rec.dir, coreFile)
	}
	return c.stage("boot", func() (string, error) {
		result, err := vm.Run(ctx, machine, vm.Options{
			TTY:     rec.tty,
			Console: rec.console, Results: rec.results, OnRecord: rec.record,
			Silence: g.Silence, Deadline: g.Deadline, Ask: true, Core: core, Echo: c.Sh.Echo,
			Snapshots: c.snapshots(g),
		})
		if err != nil {
			return "", err
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if result.DiskWaits {
			c.origin().waits.Do(func() {
				c.say("disk: QEMU has no io_uring here, so the guest waits for the host: figures of one seed differ")
			})
		}
		if result.Core {
			c.tellCore(ctx, built.core(core), rec)
		}
		return milestones(result), rec.ended(machine, result)
	})
}

// tellCore says and records how the guest's memory is read.
func (c *Conductor) tellCore(ctx context.Context, core core, rec *recorder) {
	commands, hints := core.readers(func(tool string) string { return c.version(ctx, tool) })
	for _, command := range commands {
		c.say("core: %s", command)
	}
	for _, hint := range hints {
		c.say("core: %s", hint)
	}
	rec.in.Run.Core = commands
}

// milestones says where the time of a boot went.
func milestones(r *vm.Result) string {
	t := r.Times
	if !r.Booted.IsZero() {
		return fmt.Sprintf("guest booted %s resumed after %.2f s, first test output after %.2f s",
			r.Booted.Format("2006-01-02 15:04:05"), t.Resumed.Seconds(), t.FirstOut.Seconds())
	}
	return fmt.Sprintf("init after %.2f s, first test output after %.2f s", t.Hello.Seconds(), t.FirstOut.Seconds())
}

func guestShares(g Guest) []wire.Share {
	var shares []wire.Share
	for i, s := range g.Shares {
		shares = append(shares, wire.Share{Tag: shareTag(i), Path: s.Path, ReadOnly: !s.Writable})
	}
	return shares
}
