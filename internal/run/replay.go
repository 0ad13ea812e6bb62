package run

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/recipe"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/internal/wire"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/kconfig"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// A Replay is a run that repeats another.
type Replay struct {
	// Path is the folder of a run, its recipe.json or a bundle.
	Path string
	// Kernel, Net and Shares are what a recipe cannot ask for by itself:
	// another source ("" is the recipe's), a network, directories of the host.
	Kernel string
	Net    bool
	Shares []Share
	Jobs   int
	Out    string // as in Plan
}

// A replay is a Replay under way.
type replay struct {
	Replay
	c       *Conductor
	dir     string // of the recipe
	r       *recipe.Recipe
	differs []string
}

// openRecipe finds the recipe at path; close removes what was unpacked for it.
func (c *Conductor) openRecipe(path string) (dir string, r *recipe.Recipe, close func(), err error) {
	close = func() {}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", nil, close, usagef("%s: no such run, recipe or bundle", path)
	case info.IsDir():
		dir = path
	case filepath.Base(path) == recipe.Name:
		dir = filepath.Dir(path)
	default:
		if dir, err = c.unpack(path); err != nil {
			return "", nil, close, err
		}
		unpacked := dir
		close = func() { _ = os.RemoveAll(unpacked) }
	}
	if r, err = recipe.Read(dir); err != nil {
		close()
		return "", nil, func() {}, usagef("%s: %w", path, err)
	}
	return dir, r, close, nil
}

// unpack unpacks a bundle into a folder of the cache.
func (c *Conductor) unpack(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	dir, err := os.MkdirTemp(c.Cache, ".bundle-*")
	if err != nil {
		return "", err
	}
	if err := recipe.Unpack(f, dir); err != nil {
		_ = os.RemoveAll(dir)
		return "", usagef("%s: %w", path, err)
	}
	return dir, nil
}

// Bundle writes what the recipe at path needs, but for the kernel's source,
// into one file.
func (c *Conductor) Bundle(ctx context.Context, path, to string) error {
	dir, r, close, err := c.openRecipe(path)
	if err != nil {
		return err
	}
	defer close()
	if err := r.Bundle(dir, to, func(f recipe.File) (string, error) { return findFile(ctx, dir, f) }); err != nil {
		return fmt.Errorf("bundle %s: %w", path, err)
	}
	return nil
}

// findFile returns where a file of a recipe lies with the bytes it had.
func findFile(ctx context.Context, dir string, f recipe.File) (string, error) {
	for _, name := range []string{filepath.Join(dir, "files", f.SHA256), f.From} {
		sum, err := recipe.SumFile(ctx, name)
		if ctx.Err() != nil {
			return "", err
		}
		if name != "" && err == nil && sum == f.SHA256 {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s is gone or has changed since (%s): run the tests again for another recipe", f.Path, f.From)
}

// Replay repeats a run and returns its report, the recipe's outcome and what
// differs, a line each. An error means that it could not be repeated.
func (c *Conductor) Replay(ctx context.Context, want Replay) (*verdict.Report, []string, error) {
	dir, r, close, err := c.openRecipe(want.Path)
	if err != nil {
		return nil, nil, err
	}
	defer close()
	p := &replay{Replay: want, c: c, dir: dir, r: r}
	guest, err := p.guest(ctx)
	if err != nil {
		return nil, nil, err
	}
	started := time.Now()
	progs, err := p.programs(ctx)
	if err != nil {
		return nil, nil, err
	}
	built, k, err := p.build(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := p.compareTools(ctx, built); err != nil {
		return nil, nil, err
	}
	for _, d := range p.differs {
		c.say("differs: %s", Printable(d))
	}
	rec, err := c.recorder(want.Out, started, nil, k, built, progs)
	if err != nil {
		return nil, nil, err
	}
	defer rec.close()
	rec.live, rec.in.Allow = c.live(progs.selection), r.Tests.Allow
	rec.in.Run.Again = printable(r.Command)
	pol := policy{keepGoing: r.Tests.KeepGoing, retry: min(max(r.Tests.Retry, 0), MaxRetry)}
	report, err := c.cooked(ctx, cooking{k, guest, pol, built, progs}, rec)
	if err != nil {
		return nil, nil, err
	}
	return report, append(p.differs, r.Outcome.Differs(recipe.OutcomeOf(report))...), nil
}

// printable is what a recipe says in a form that does not steer a terminal.
func printable(words []string) []string {
	var all []string
	for _, w := range words {
		all = append(all, Printable(w))
	}
	return all
}

// guest is the recipe's, without what it may not have by itself.
func (p *replay) guest(ctx context.Context) (Guest, error) {
	m := p.r.Machine
	if m.Net && !p.Net {
		return Guest{}, usagef("%s: its guest had a network: say -net to give it one", p.Path)
	}
	if m.Shares > 0 && len(p.Shares) != m.Shares {
		return Guest{}, usagef("%s: its guest saw directories of the host: name %d with -share", p.Path, m.Shares)
	}
	g := Guest{
		MemoryMiB: m.MemoryMiB, CPUs: m.CPUs, Accel: vm.Auto, Deterministic: m.Deterministic, Seed: m.Seed,
		Append: m.Append, Net: m.Net, Shares: p.Shares, Cold: m.Cold, Silence: m.Silence, Deadline: m.Deadline,
		Disk: Disk{MiB: m.DiskMiB},
	}
	if m.Disk != nil {
		image, err := findFile(ctx, p.dir, *m.Disk)
		if err != nil {
			return g, fmt.Errorf("%s: %w", p.Path, err)
		}
		g.Disk = Disk{Image: image, SHA256: m.Disk.SHA256}
	}
	if free := freeMiB(p.c.Cache); int64(m.DiskMiB) > free/2 {
		return g, usagef("%s: its guest had an empty disk of %d MiB, which is more than half of what is free here", p.Path, m.DiskMiB)
	}
	if err := g.check(); err != nil {
		return g, usagef("%s: %w", p.Path, err)
	}
	return g, nil
}

// freeMiB is how much room there is where dir is; unknown is none.
func freeMiB(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize >> 20
}

// programs are the recipe's, made of files with the bytes they had.
func (p *replay) programs(ctx context.Context) (*programs, error) {
	t := &p.r.Tests
	if !kunitGlob.MatchString(t.KUnit) {
		return nil, usagef("%s: %q chooses no tests of KUnit", p.Path, Printable(t.KUnit))
	}
	ps := &programs{commands: t.Commands, kunit: t.KUnit, selection: gotest.Selection{
		Run: t.Run, Skip: t.Skip, Bench: t.Bench, Count: t.Count, Short: t.Short, Verbose: t.Verbose,
	}}
	for _, f := range t.Files {
		file := initramfs.File{Path: f.Path, Mode: fs.FileMode(f.Mode).Perm(), Link: f.Link}
		if f.SHA256 != "" {
			var err error
			if file.Source, err = findFile(ctx, p.dir, f); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Path, err)
			}
		}
		ps.files = append(ps.files, file)
	}
	for _, one := range t.Programs {
		if len(one.Argv) == 0 || one.ID == "shell" && !one.Go {
			return nil, usagef("%s: a shell cannot be repeated", p.Path)
		}
		ps.tests = append(ps.tests, wire.Test{ID: one.ID, Argv: one.Argv, Env: one.Env, Dir: one.Dir, Marks: one.Go})
		ps.planned = append(ps.planned, verdict.Planned{ID: one.ID, Arg: one.Arg, Go: one.Go, Tests: one.Tests, Count: one.Count})
	}
	return ps, nil
}

// build makes the recipe's kernel.
func (p *replay) build(ctx context.Context) (*Built, Kernel, error) {
	s := &p.r.Source
	k := Kernel{Spec: s.Spec, Base: s.Commit, Profile: p.r.Config.Profile, Jobs: p.Jobs, Fuzz: min(s.Fuzz, patch.MaxFuzz)}
	if p.Kernel != "" {
		k.Spec, k.Base = p.Kernel, ""
	}
	if s.Tree == "" {
		built, err := p.c.Build(ctx, k)
		if err == nil && built.Key != s.Digest {
			p.differ("kernel: %s is another image than the recipe's", k.Spec)
		}
		return built, k, err
	}
	if err := p.c.Host.Ensure(ctx, Needs(Kernel{Spec: Auto})); err != nil {
		return nil, k, err
	}
	built := &Built{On: k}
	err := p.c.stage("fetch", func() (note string, err error) {
		built.Tree, err = p.tree(ctx, k)
		return s.Name, err
	})
	if err != nil {
		return nil, k, err
	}
	if err := p.patch(ctx, &k, built); err != nil {
		return nil, k, err
	}
	return built, k, p.c.stage("build", func() (string, error) { return "", p.image(ctx, k, built) })
}

func (p *replay) differ(format string, args ...any) {
	p.differs = append(p.differs, fmt.Sprintf(format, args...))
}

// tree finds the recipe's source: in the cache whatever is newest now, else as
// the recipe names it.
func (p *replay) tree(ctx context.Context, k Kernel) (*source.Tree, error) {
	s := &p.r.Source
	store := p.c.sources()
	if p.Kernel == "" {
		if tree := store.Have(ctx, s.Base, s.Tree); tree != nil {
			tree.Name, tree.Digest = Printable(s.Name), s.Digest
			return tree, nil
		}
	}
	var tree *source.Tree
	var err error
	if k.Base != "" && k.Base != Worktree {
		tree, err = store.Commit(ctx, k.Spec, k.Base)
	} else {
		tree, err = store.Get(ctx, k.Spec)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (the recipe was made of %s; name a source like it with -kernel)", err, Printable(s.Name))
	}
	if tree.ID != s.Tree {
		p.differ("source: %s (tree %.12s) here, %s (tree %.12s) in the recipe", tree.Name, tree.ID, s.Name, s.Tree)
	}
	return tree, nil
}

// patch applies the recipe's patches, whose bytes lie beside it.
func (p *replay) patch(ctx context.Context, k *Kernel, built *Built) error {
	if len(p.r.Series) == 0 {
		return nil
	}
	return p.c.stage("patch", func() (string, error) {
		series, err := p.series(ctx)
		if err != nil {
			return "", err
		}
		for _, s := range series {
			k.Patches = append(k.Patches, s.Path)
		}
		built.Base, built.Series = built.Tree, series
		built.Tree, built.Applied, err = patch.Apply(ctx, p.c.Sh, built.Tree, series, k.Fuzz, p.c.Progress)
		if err != nil {
			return "", err
		}
		if want := p.r.Source.Patched; built.Tree.ID != want && built.Base.ID == p.r.Source.Tree {
			p.differ("patches: they make tree %.12s here, %.12s in the recipe", built.Tree.ID, want)
		}
		return fmt.Sprintf("%d applied", len(built.Applied)), nil
	})
}

// series reads the recipe's patches.
func (p *replay) series(ctx context.Context) ([]patch.Series, error) {
	var all []patch.Series
	for _, want := range p.r.Series {
		var specs []string
		for _, one := range want.Patches {
			file := filepath.Join(p.dir, one.File)
			if sum, err := recipe.SumFile(ctx, file); err != nil || sum != one.SHA256 {
				return nil, usagef("%s: %s is missing or not the recipe's", p.Path, one.File)
			}
			specs = append(specs, file)
		}
		// One by one, so that each is taken whatever else lies there.
		read, err := (&patch.Loader{Sh: p.c.Sh}).Load(ctx, specs)
		if err != nil {
			return nil, err
		}
		s := patch.Series{Path: Printable(want.Name)}
		for i := range read {
			if len(read[i].Patches) != 1 {
				return nil, usagef("%s: %s is not one patch", p.Path, want.Patches[i].File)
			}
			one := read[i].Patches[0]
			one.Name, one.Digest = Printable(want.Patches[i].Name), want.Patches[i].Digest
			s.Patches = append(s.Patches, one)
		}
		all = append(all, s)
	}
	return all, nil
}

// image builds the kernel: by the profile where that still means the same,
// else from the .config that was kept.
func (p *replay) image(ctx context.Context, k Kernel, built *Built) error {
	kept, err := p.config()
	if err != nil {
		return err
	}
	b := &kernel.Builder{Cache: p.c.Cache, Sh: p.c.Sh, Progress: p.c.Progress}
	req := kernel.Request{Tree: built.Tree, Profile: k.Profile, Jobs: k.Jobs}
	if p.r.Config.Own {
		req.Profile, req.Config, req.Exact = "", kept, true
	}
	if built.Image, err = b.Build(ctx, req); err != nil {
		return err
	}
	if err := p.compareConfig(kept, built.Config); err != nil {
		return err
	}
	built.Gaps, err = p.c.gaps(ctx, built)
	return err
}

// config is the .config that was kept, under a name by its content, for the
// folder of objects is named after it.
func (p *replay) config() (string, error) {
	data, err := readBounded(filepath.Join(p.dir, configFile))
	if err != nil || recipe.Sum(data) != p.r.Config.SHA256 {
		return "", usagef("%s: its file config is missing or not the recipe's", p.Path)
	}
	dir := filepath.Join(p.c.Cache, "replay")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(dir, p.r.Config.SHA256[:24]+".config")
	return name, os.WriteFile(name, data, 0o644)
}

// compareConfig says in which symbols two .configs differ.
func (p *replay) compareConfig(then, now string) error {
	var configs [2]kconfig.DotConfig
	for i, name := range []string{then, now} {
		data, err := readBounded(name)
		if err != nil {
			return err
		}
		if configs[i], err = kconfig.ReadDotConfig(bytes.NewReader(data)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	var names []string
	for _, c := range configs {
		for name := range c {
			if configs[0].Value(name) != configs[1].Value(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	first := names[0]
	p.differ("config: %d symbols, first CONFIG_%s=%s here, %s in the recipe", len(names), first, configs[1].Value(first), configs[0].Value(first))
	return nil
}

// compareTools says what of this machine is other than the recipe's.
func (p *replay) compareTools(ctx context.Context, built *Built) error {
	qemu, err := vm.Version(ctx, vm.DefaultQEMU, p.c.Cache)
	if err != nil {
		return err
	}
	toolchain := ""
	if built.Meta != nil {
		toolchain = built.Meta.Toolchain
	}
	accel, err := vm.Pick(ctx, vm.Auto, vm.DefaultQEMU, p.c.Cache)
	if err != nil {
		return err
	}
	if p.r.Machine.Deterministic {
		accel.Name = vm.TCG
	}
	for _, c := range []struct{ what, here, recipe string }{
		{"toolchain", toolchain, p.r.Toolchain},
		{"QEMU", qemu, p.r.Machine.QEMU},
		{"accelerator", accel.Name, p.r.Machine.Accel},
		{"runvm", version(), p.r.Runvm},
	} {
		if c.here != c.recipe {
			p.differ("%s: %s here, %s in the recipe", c.what, c.here, c.recipe)
		}
	}
	if built.Key != p.r.Config.Key && len(p.differs) == 0 && !p.r.Config.Own {
		p.differ("kernel: another image for a reason the recipe does not tell")
	}
	return nil
}
