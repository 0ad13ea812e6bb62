package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/recipe"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/kernel/config"
)

// A cooking is what a recipe is written of.
type cooking struct {
	kernel Kernel
	guest  Guest
	pol    policy
	built  *Built
	progs  *programs
}

// cooked runs the guests of a run and keeps its recipe.
func (c *Conductor) cooked(ctx context.Context, of cooking, rec *recorder) (*verdict.Report, error) {
	report, err := c.guests(ctx, of.guest, of.pol, of.built, of.progs, rec)
	if err != nil {
		return nil, err
	}
	if err := c.keepRecipe(ctx, of, rec, report); err != nil {
		return nil, fmt.Errorf("%s: %w", recipe.Name, err)
	}
	return report, nil
}

// keepRecipe writes the recipe of the run that rec records, and the files it
// needs that are nowhere else.
func (c *Conductor) keepRecipe(ctx context.Context, of cooking, rec *recorder, report *verdict.Report) error {
	r := &recipe.Recipe{
		Schema: recipe.Schema, Runvm: version(), Written: rec.in.Run.Started, Command: rec.in.Run.Again,
		Source: of.source(), Config: recipe.Config{Profile: of.kernel.Profile, Own: of.ownConfig(), Key: of.built.Key},
		Machine: of.machine(report.Run.Machine), Outcome: recipe.OutcomeOf(report),
	}
	if m := of.built.Meta; m != nil {
		r.Toolchain = m.Toolchain
	}
	var err error
	if r.Machine.QEMU, err = vm.Version(ctx, vm.DefaultQEMU, c.Cache); err != nil {
		return err
	}
	if of.built.Config != "" {
		if r.Config.SHA256, err = recipe.SumFile(ctx, filepath.Join(rec.dir, configFile)); err != nil {
			return err
		}
	}
	if r.Series, err = keepSeries(of.built, rec.dir); err != nil {
		return err
	}
	if image := of.guest.Disk.Image; image != "" {
		r.Machine.Disk = &recipe.File{Path: "/dev/vda", SHA256: rec.disk, From: image}
	}
	if r.Tests, err = of.tests(ctx, rec); err != nil {
		return err
	}
	return r.Write(rec.dir)
}

// version is that of this program, as the go command stamped it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(text, s.Value[:min(12, len(s.Value))]) {
			text += " " + s.Value
		}
	}
	return text
}

func (of *cooking) source() recipe.Source {
	b := of.built
	s := recipe.Source{Spec: of.kernel.Spec, Name: of.kernel.Spec}
	if b.Tree == nil {
		s.Digest = b.Key
		return s
	}
	base := b.Tree
	if b.Base != nil {
		base = b.Base
		s.Patched = b.Tree.ID
	}
	s.Spec, s.Commit, s.Fuzz = b.On.Spec, b.On.Base, b.On.Fuzz
	s.Name, s.Base, s.Tree, s.Digest = base.Name, base.Base, base.ID, base.Digest
	return s
}

// ownConfig says that files of the user's went into the configuration.
func (of *cooking) ownConfig() bool {
	if of.kernel.Config != "" {
		return true
	}
	for _, element := range strings.Split(of.kernel.Profile, ",") {
		if config.IsPath(strings.TrimSpace(element)) {
			return true
		}
	}
	return false
}

func (of *cooking) machine(m verdict.Machine) recipe.Machine {
	g := of.guest
	return recipe.Machine{
		Accel: m.Accel, MemoryMiB: g.MemoryMiB, CPUs: g.CPUs, Deterministic: g.Deterministic, Seed: g.Seed,
		Append: g.Append, Net: g.Net, Shares: len(g.Shares), DiskMiB: g.Disk.MiB, Cold: g.Cold, Silence: g.Silence, Deadline: g.Deadline, Command: m.Command,
	}
}

// keptSeries is where in a run's directory the patches of series n are.
func keptSeries(n int) string { return filepath.Join("patches", strconv.Itoa(n+1)) }

// keepSeries writes the patches into the run's directory.
func keepSeries(b *Built, dir string) ([]recipe.Series, error) {
	var all []recipe.Series
	for n := range b.Series {
		s := &b.Series[n]
		folder := keptSeries(n)
		kept := recipe.Series{Name: s.Path}
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, err
		}
		for i, p := range s.Patches {
			file, mail := filepath.Join(folder, s.FileName(i)), s.Mail(i)
			if err := os.WriteFile(filepath.Join(dir, file), mail, 0o644); err != nil {
				return nil, err
			}
			kept.Patches = append(kept.Patches, recipe.Patch{Name: p.Name, Digest: p.Digest, File: file, SHA256: recipe.Sum(mail)})
		}
		all = append(all, kept)
	}
	return all, nil
}

// tests are the programs, with the digests of their files.
func (of *cooking) tests(ctx context.Context, rec *recorder) (recipe.Tests, error) {
	sel := of.progs.selection
	t := recipe.Tests{
		Commands: of.progs.commands, Run: sel.Run, Skip: sel.Skip, Bench: sel.Bench, Count: sel.Count, Short: sel.Short, Verbose: sel.Verbose,
		KeepGoing: of.pol.keepGoing, Retry: of.pol.retry, KUnit: of.progs.kunit, Allow: rec.in.Allow,
	}
	for i, test := range of.progs.tests {
		p := of.progs.planned[i]
		t.Programs = append(t.Programs, recipe.Program{
			ID: test.ID, Arg: p.Arg, Go: p.Go, Tests: p.Tests, Count: p.Count, Argv: test.Argv, Env: test.Env, Dir: test.Dir,
		})
	}
	for _, f := range of.progs.files {
		kept, err := keepFile(ctx, f, rec.dir)
		if err != nil {
			return t, fmt.Errorf("%s: %w", f.Path, err)
		}
		t.Files = append(t.Files, kept)
	}
	return t, nil
}

// keepFile is f in a recipe; contents that lie nowhere are written into dir.
func keepFile(ctx context.Context, f initramfs.File, dir string) (recipe.File, error) {
	kept := recipe.File{Path: f.Path, Mode: uint32(f.Mode.Perm()), Link: f.Link, From: f.Source}
	var err error
	switch {
	case f.Source != "":
		kept.SHA256, err = recipe.SumFile(ctx, f.Source)
	case f.Data != nil:
		kept.SHA256 = recipe.Sum(f.Data)
		if err = os.MkdirAll(filepath.Join(dir, "files"), 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, "files", kept.SHA256), f.Data, 0o644)
		}
	}
	return kept, err
}
