// Package run conducts a run: from flags to a verdict. It is the one package
// that knows all stages (fetch, patch, build, compile, image, boot, judge) and
// hands to each the values it needs; what a stage is, the stage knows.
package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/config"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// ErrUsage is a request that cannot be meant: the user has to change it.
var ErrUsage = errors.New("usage")

// usagef returns an error that is an ErrUsage and reads as the format says.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// NoRoom says that err is a full disk. Programs only say so.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, source.ErrDiskFull) ||
		strings.Contains(strings.ToLower(err.Error()), syscall.ENOSPC.Error())
}

type usageError struct{ err error }

func (e *usageError) Error() string   { return e.err.Error() }
func (e *usageError) Unwrap() []error { return []error{ErrUsage, e.err} }

// MaxRetry bounds Plan.Retry.
const MaxRetry = 100

// Kernel says which kernel a run boots.
type Kernel struct {
	// Spec is a source as source.Store.Get reads it, the path of a vmlinux or
	// bzImage that is ready to boot, or Auto.
	Spec string
	// Base is a commit of the git tree that Spec names, or Worktree; "" is the
	// one that the patches say they were made on, else Worktree.
	Base string
	// Fuzz as in patch.Apply.
	Fuzz int
	// Patches are applied in this order; see patch.Loader.Read.
	Patches []string
	// Profile and Config make the configuration; see kernel.Request.
	Profile string
	Config  string
	// Jobs is how many compilers run at once; 0 is one a CPU.
	Jobs int
}

// Auto is the Spec of a kernel whose source follows from its patches.
const Auto = "auto"

// Worktree is the Base that is a git tree as it lies there, with what is not
// committed.
const Worktree = "worktree"

// Guest says what the kernel is booted on.
type Guest struct {
	MemoryMiB int
	CPUs      int
	Accel     string // vm.Auto, vm.KVM or vm.TCG
	// Deterministic and Seed as in vm.Machine.
	Deterministic bool
	Seed          int64
	Append        []string // kernel arguments
	Shares        []Share
	// With are programs of the host that the guest has in /usr/bin, with their
	// libraries: paths, or names found in the host's PATH.
	With []string
	Net  bool
	Disk Disk
	// Cold boots the guest even when one like it has booted before and could
	// go on from there.
	Cold bool
	// Core keeps the guest's memory when it hangs or panics.
	Core bool
	// Silence and Deadline are the run's two clocks; 0 stops a clock.
	Silence, Deadline time.Duration
}

// A Share is a directory of the host that the guest may see.
type Share struct {
	Dir      string // on the host
	Path     string // in the guest
	Writable bool
}

// Plan is everything a test run is to do, before anything is done.
type Plan struct {
	Kernel Kernel
	Guest  Guest
	// Targets are Go package patterns and paths of scripts and programs.
	Targets []string
	Select  gotest.Selection
	// KUnit chooses the kernel's own tests, as kunit.filter_glob does, which must
	// tell of themselves on the console: "list*", "list-kunit-test.*_add"; "" is
	// whatever the kernel runs by itself, be it nothing. With it no Targets means
	// no program.
	KUnit string
	// Allow are complaints of the kernel that do not fail the run.
	Allow []verdict.Allowed
	// KeepGoing runs what a guest that died did not reach in another one.
	KeepGoing bool
	// Retry is how often tests that failed run again, each time in a guest of
	// their own, 0 to MaxRetry.
	Retry int
	// Dir is where Targets are looked up.
	Dir string
	// Out is the run's directory; "" makes one in the cache.
	Out string
	// Command is the command line up to the targets, without -run.
	Command []string
}

// Check refuses a Plan that cannot work, before anything slow is started.
func (p *Plan) Check() error {
	if err := p.Guest.check(); err != nil {
		return err
	}
	if !kunitGlob.MatchString(p.KUnit) {
		return usagef("-kunit %q: want SUITE or SUITE.TEST, of letters, digits, _, - and the wildcards * ? []; ? stands for a blank too", p.KUnit)
	}
	if err := checkWith(p.Dir, p.Guest.With); err != nil {
		return err
	}
	if p.Retry < 0 || p.Retry > MaxRetry {
		return usagef("-retry-failed %d: want 0 to %d", p.Retry, MaxRetry)
	}
	for _, t := range p.Targets {
		if !p.exists(t) {
			return usagef("%s: no such file or folder", t)
		}
	}
	return p.Kernel.check()
}

func (k *Kernel) check() error {
	if k.Spec == "" {
		return usagef("-kernel: no kernel named")
	}
	if k.Jobs < 0 {
		return usagef("-j %d: want 1 or more", k.Jobs)
	}
	for _, spec := range k.Patches {
		if err := patch.CheckSpec(spec); err != nil {
			return usagef("-patches %s: %v", spec, err)
		}
	}
	if strings.Contains(k.Spec, "/") {
		if _, err := os.Stat(k.Spec); err != nil {
			return usagef("-kernel %s: no such file or folder", k.Spec)
		}
	}
	if k.Config != "" {
		if _, err := os.Stat(k.Config); err != nil {
			return usagef("-config %s: no such file", k.Config)
		}
	}
	if k.Base != "" && !isTree(k.Spec) {
		return usagef("-base %s names a commit of a git tree: want -kernel TREE too (a release is named with -kernel)", k.Base)
	}
	if k.Ready() && (len(k.Patches) > 0 || k.Config != "") {
		return usagef("-kernel %s is a ready image: -patches and -config need a source", k.Spec)
	}
	return k.checkConfig()
}

// checkConfig looks at what the kernel is to be configured from.
func (k *Kernel) checkConfig() error {
	if k.Config != "" {
		if err := kernel.CheckConfig(k.Config); err != nil {
			return usagef("-config: %w", err)
		}
	}
	if _, err := config.Load(k.Profile, k.Config == ""); err != nil {
		return usagef("-profile: %w", err)
	}
	return nil
}

// isTree says that spec is the path of a folder.
func isTree(spec string) bool {
	info, err := os.Stat(spec)
	return spec != Auto && err == nil && info.IsDir()
}

// Ready says that Spec is an image and nothing has to be built.
func (k *Kernel) Ready() bool {
	info, err := os.Stat(k.Spec)
	return k.Spec != Auto && err == nil && info.Mode().IsRegular()
}

func (g *Guest) check() error {
	switch {
	case g.MemoryMiB < vm.MinMemoryMiB || g.MemoryMiB > vm.MaxMemoryMiB:
		return usagef("-memory %d: want %d to %d MiB", g.MemoryMiB, vm.MinMemoryMiB, vm.MaxMemoryMiB)
	case g.CPUs < 1 || g.CPUs > vm.MaxCPUs:
		return usagef("-cpus %d: want 1 to %d", g.CPUs, vm.MaxCPUs)
	case g.Silence < 0 || g.Deadline < 0:
		return usagef("-silence and -timeout: want 0 or more")
	case g.Deterministic && (g.CPUs != 1 || g.Net || len(g.Shares) > 0):
		return usagef("-deterministic: one CPU, no -net and no -share: each brings the host's timing in")
	case g.Deterministic && g.Accel == vm.KVM:
		return usagef("-deterministic counts instructions, which -accel kvm cannot")
	}
	switch g.Accel {
	case vm.Auto, vm.KVM, vm.TCG:
	default:
		return usagef("-accel %s: want auto, kvm or tcg", g.Accel)
	}
	for _, s := range g.Shares {
		if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
			return usagef("-share %s: no such directory", s.Dir)
		}
		if !filepath.IsAbs(s.Path) {
			return usagef("-share %s: the guest's path %q is not absolute", s.Dir, s.Path)
		}
	}
	return g.Disk.check()
}

// kunitGlob is what may stand in kunit.filter_glob without quotes.
var kunitGlob = regexp.MustCompile(`^[A-Za-z0-9_.*?\[\]-]*$`)

// exists tells whether something is there for a target; of import paths and
// patterns the go command has to say.
func (p *Plan) exists(target string) bool {
	isPath := strings.HasPrefix(target, "./") || strings.HasPrefix(target, "../") || filepath.IsAbs(target)
	if !isPath || strings.Contains(target, "...") {
		return true
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(p.Dir, target)
	}
	_, err := os.Stat(target)
	return err == nil
}

// split sorts Targets into Go package patterns and files to run as they are.
func (p *Plan) split() (patterns, files []string) {
	for _, t := range p.Targets {
		path := t
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, t)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, t)
		} else {
			patterns = append(patterns, t)
		}
	}
	if len(p.Targets) == 0 && p.KUnit == "" {
		patterns = []string{"."}
	}
	return patterns, files
}

// String describes the plan, a line a stage, in the order of the data.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(stage, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", stage, fmt.Sprintf(format, args...))
	}
	if p.Kernel.Ready() {
		line("kernel", "%s, as it is", p.Kernel.Spec)
	} else {
		line("fetch", "%s", p.Kernel.source())
		for _, s := range p.Kernel.Patches {
			line("patch", "%s", s)
		}
		base := "tinyconfig"
		if p.Kernel.Config != "" {
			base = p.Kernel.Config
		}
		line("config", "%s on %s", p.Kernel.Profile, base)
		line("build", "unless the image is in the cache")
	}
	patterns, files := p.split()
	if len(patterns) > 0 {
		line("compile", "%s", sh.Quote(patterns...))
	}
	if len(files) > 0 {
		line("programs", "%s", sh.Quote(files...))
	}
	line("boot", "%d MiB, %d CPU, accelerator %s%s", p.Guest.MemoryMiB, p.Guest.CPUs, p.Guest.Accel, p.Guest.extras())
	if p.KUnit != "" {
		line("kunit", "%s", p.KUnit)
	}
	line("clocks", "%v of silence, %v in all", p.Guest.Silence, p.Guest.Deadline)
	line("run", "%s", sh.Quote(p.Select.Flags()...))
	return b.String()
}

// source says in words where k comes from.
func (k *Kernel) source() string {
	switch {
	case k.Spec == Auto && len(k.Patches) > 0:
		return "the newest source at hand that the patches apply to"
	case k.Spec == Auto:
		return source.DefaultSeries
	case k.Base != "":
		return k.Spec + " at " + k.Base
	}
	return k.Spec
}

func (g *Guest) extras() string {
	var s string
	if g.Deterministic {
		s += fmt.Sprintf(", deterministic with seed %d", g.Seed)
	}
	for _, share := range g.Shares {
		mode := "read-only"
		if share.Writable {
			mode = "writable"
		}
		s += fmt.Sprintf(", %s at %s (%s)", share.Dir, share.Path, mode)
	}
	if g.Disk.there() {
		s += fmt.Sprintf(", disk of %v", g.Disk)
	}
	if g.Net {
		s += ", network"
	}
	if len(g.With) > 0 {
		s += ", with " + sh.Quote(g.With...)
	}
	return s
}
