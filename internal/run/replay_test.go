package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/recipe"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/wire"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
)

// cooked is a recipe of the toy with one patch, in a folder of its own.
func (toy *toyTree) cooked(t *testing.T) (*recipe.Recipe, string) {
	t.Helper()
	built := toy.built(t, map[string]string{"fix.patch": edit("fs/a.c", 3, "int x;")})
	built.Image, built.On = &kernel.Image{Key: "key"}, Kernel{Spec: toy.dir}
	built.Series, _ = patch.Load([]string{built.Applied[0].Series})
	dir := t.TempDir()
	bin := filepath.Join(t.TempDir(), "bin")
	writeFiles(t, filepath.Dir(bin), map[string]string{"bin": "ELF"})
	of := &cooking{kernel: Kernel{Spec: toy.dir, Profile: "plain"}, guest: Guest{MemoryMiB: 1024, CPUs: 1}, built: built, progs: &programs{
		files: []initramfs.File{{Path: "/test/0/bin", Source: bin, Mode: 0o755}, {Path: "/test/1/sh", Data: []byte("#!/bin/sh\n"), Mode: 0o755}},
		tests: []wire.Test{{ID: "bin", Argv: []string{"/test/0/bin"}}}, planned: []verdict.Planned{{ID: "bin"}},
	}}
	r := &recipe.Recipe{Schema: recipe.Schema, Source: of.source()}
	var err error
	if r.Series, err = keepSeries(built, dir); err != nil {
		t.Fatal(err)
	}
	if r.Tests, err = of.tests(t.Context(), &recorder{dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestRecipeMakesTheSameTreeAndPrograms(t *testing.T) {
	t.Parallel()
	toy := newToyTree(t)
	_, dir := toy.cooked(t)
	c := &Conductor{Cache: toy.cache}
	p := &replay{Replay: Replay{Path: dir}, c: c, dir: dir}
	var err error
	if p.r, err = recipe.Read(dir); err != nil {
		t.Fatal(err)
	}
	// Another state of the tree: the recipe's is still in the cache.
	writeFiles(t, toy.dir, map[string]string{"fs/a.c": lines("other", 20)})
	k := Kernel{Spec: toy.dir}
	built := &Built{}
	if built.Tree, err = p.tree(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := p.patch(t.Context(), &k, built); err != nil {
		t.Fatal(err)
	}
	if built.Tree.ID != p.r.Source.Patched || len(p.differs) > 0 || built.Applied[0].Name != "fix.patch" {
		t.Errorf("tree %s, want %s; differs %q; applied %+v", built.Tree.ID, p.r.Source.Patched, p.differs, built.Applied)
	}
	progs, err := p.programs(t.Context())
	if err != nil || len(progs.files) != 2 || progs.files[1].Source != filepath.Join(dir, "files", recipe.Sum([]byte("#!/bin/sh\n"))) {
		t.Errorf("programs %+v, %v", progs, err)
	}
	// A program that is another now, a patch that was changed.
	writeFiles(t, filepath.Dir(progs.files[0].Source), map[string]string{"bin": "other"})
	if _, err := p.programs(t.Context()); err == nil || !strings.Contains(err.Error(), "/test/0/bin is gone or has changed since") {
		t.Errorf("another program: %v", err)
	}
	writeFiles(t, dir, map[string]string{p.r.Series[0].Patches[0].File: edit("fs/a.c", 4, "int y;")})
	if _, err := p.series(t.Context()); !errors.Is(err, ErrUsage) {
		t.Errorf("another patch: %v", err)
	}
}

func TestSourceThatHasMovedIsSaid(t *testing.T) {
	t.Parallel()
	toy := newToyTree(t)
	r, dir := toy.cooked(t)
	writeFiles(t, toy.dir, map[string]string{"fs/b.c": lines("other", 20)})
	p := &replay{Replay: Replay{Path: dir, Kernel: toy.dir}, c: &Conductor{Cache: t.TempDir()}, dir: dir, r: r}
	if _, err := p.tree(t.Context(), Kernel{Spec: toy.dir}); err != nil {
		t.Fatal(err)
	}
	if len(p.differs) != 1 || !strings.HasPrefix(p.differs[0], "source: "+toy.dir) {
		t.Errorf("differs %q", p.differs)
	}
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for name, text := range map[string]string{a: "CONFIG_A=y\nCONFIG_B=m\n", b: "CONFIG_A=y\nCONFIG_C=y\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.differs = nil
	if err := p.compareConfig(a, b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"config: 2 symbols, first CONFIG_B=n here, m in the recipe"}, p.differs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRecipeCannotReachTheHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m    recipe.Machine
		want string
	}{
		"network":   {recipe.Machine{MemoryMiB: 1024, CPUs: 1, Net: true}, "say -net"},
		"directory": {recipe.Machine{MemoryMiB: 1024, CPUs: 1, Shares: 2}, "name 2 with -share"},
		"memory":    {recipe.Machine{MemoryMiB: 1 << 40, CPUs: 1}, "-memory"},
		"CPUs":      {recipe.Machine{MemoryMiB: 1024, CPUs: 1 << 20}, "-cpus"},
		"full disk": {recipe.Machine{MemoryMiB: 1024, CPUs: 1, DiskMiB: int(freeMiB("."))}, "more than half of what is free here"},
		"bad disk":  {recipe.Machine{MemoryMiB: 1024, CPUs: 1, DiskMiB: -3}, "b.tar: -disk -3"},
	} {
		p := &replay{c: &Conductor{Cache: "."}, Replay: Replay{Path: "b.tar"}, r: &recipe.Recipe{Machine: c.m}}
		if _, err := p.guest(t.Context()); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// The disk of a replayed guest is the recipe's: an empty one of its size, or the
// image with its digest and no other file.
func TestReplayHasTheDisk(t *testing.T) {
	t.Parallel()
	name, data := image(t)
	m := recipe.Machine{MemoryMiB: 1024, CPUs: 1, DiskMiB: 5}
	p := &replay{c: &Conductor{Cache: "."}, Replay: Replay{Path: "b.tar"}, dir: t.TempDir(), r: &recipe.Recipe{Machine: m}}
	if g, err := p.guest(t.Context()); err != nil || g.Disk != (Disk{MiB: 5}) {
		t.Errorf("%v, %v, want an empty disk of 5 MiB", g.Disk, err)
	}
	p.r.Machine.DiskMiB = 0
	p.r.Machine.Disk = &recipe.File{Path: "/dev/vda", SHA256: recipe.Sum(data), From: name}
	if g, err := p.guest(t.Context()); err != nil || g.Disk != (Disk{Image: name, SHA256: recipe.Sum(data)}) {
		t.Errorf("%v, %v, want the image", g.Disk, err)
	}
	p.r.Machine.Disk.SHA256 = recipe.Sum([]byte("another"))
	if _, err := p.guest(t.Context()); err == nil || !strings.Contains(err.Error(), "gone or has changed") {
		t.Errorf("another image: %v", err)
	}
}
