//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

var (
	withSeries    = flag.Bool("series", false, "compile every prefix of a series for other machines: many minutes")
	seriesKernel  = flag.String("series-kernel", "6.12", "what the series is for")
	seriesPatches = flag.String("series-patches", "", "its folder; the one for 6.12 if empty")
	seriesDir     = flag.String("series-dir", "", "keep sources and objects in this folder, for the next run")
	seriesWhole   = flag.Bool("series-whole", false, "link whole kernels of the last prefix, too")
)

// common is what a series may touch, on every machine.
const common = `
CONFIG_SMP=y
CONFIG_PRINTK=y
CONFIG_MULTIUSER=y
CONFIG_FUTEX=y
CONFIG_EPOLL=y
CONFIG_BLOCK=y
CONFIG_BINFMT_ELF=y
CONFIG_SHMEM=y
CONFIG_TMPFS=y
CONFIG_NET=y
CONFIG_UNIX=y
CONFIG_INET=y
CONFIG_EXT4_FS=y
CONFIG_XFS_FS=y
`

// A target is a machine and a configuration that each prefix must compile for.
type target struct {
	name   string
	vars   []string // of make
	config string   // on top of common and allnoconfig
	arch   string   // folder of the machine
	tables []string // objects that hold the numbers of system calls
	whole  []string // what -series-whole makes
}

func targets() []target {
	x86 := []string{"ARCH=x86_64", "W=1", "C=1", "CHECK=sparse"}
	arm := []string{"ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"}
	const fuse, module = "CONFIG_FUSE_FS=y\nCONFIG_CUSE=y\n", "CONFIG_MODULES=y\nCONFIG_FUSE_FS=m\nCONFIG_CUSE=m\n"
	const wide = "CONFIG_64BIT=y\n"
	numbers := []string{"arch/x86/entry/syscall_64.o", "arch/x86/entry/syscall_32.o"}
	return []target{
		{"x86-64, W=1, sparse, 32-bit tasks", x86, wide + "CONFIG_IA32_EMULATION=y\n" + fuse, "x86", numbers, []string{"vmlinux"}},
		{"x86-64, FUSE as a module", x86[:1], wide + module, "x86", nil, []string{"vmlinux", "modules"}},
		{"i386", []string{"ARCH=i386"}, fuse, "x86", numbers[1:], []string{"vmlinux"}},
		{"arm64", arm, "CONFIG_COMPAT=y\n" + fuse, "arm64", []string{"arch/arm64/kernel/sys.o", "arch/arm64/kernel/sys32.o"}, []string{"vmlinux"}},
	}
}

// TestSeries compiles what a series touches, after each of its patches, for
// machines that it is not tested on. Nothing may fail, and no warning may be
// new: of checkpatch and sparse, of gcc with W=1. `runvm test -each` does the
// rest: builds and boots every prefix.
func TestSeries(t *testing.T) {
	if !*withSeries {
		t.Skip("run it by make series")
	}
	ctx, run := t.Context(), sh.Runner{}
	needs := append(distro.Build(), distro.Check()...)
	needs = append(needs, distro.Need{Tool: "aarch64-linux-gnu-gcc", Package: "gcc-aarch64-linux-gnu", Why: "compiles for arm64"})
	if err := distro.Host(run, os.Stderr).Ensure(ctx, needs); err != nil {
		t.Fatal(err)
	}
	s := loadSeries(t, ctx)
	s.checkpatch(t)
	for _, to := range targets() {
		t.Run(strings.ReplaceAll(to.name, ", ", "-"), func(t *testing.T) { s.compile(t, to) })
	}
}

// A prefixes is a series and a folder to compile it in.
type prefixes struct {
	ctx     context.Context
	base    *source.Tree
	applied []patch.Applied
	folder  string // of the series
	dir     string // of src and objects
}

func loadSeries(t *testing.T, ctx context.Context) *prefixes {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	s := &prefixes{ctx: ctx, dir: *seriesDir, folder: cmp.Or(*seriesPatches, series(t))}
	if !filepath.IsAbs(s.folder) {
		s.folder = filepath.Join(repository(t), s.folder)
	}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	store := &source.Store{Dir: filepath.Join(cache, "runvm", "source"), Progress: progress.New(os.Stderr, false)}
	if s.base, err = store.Get(ctx, *seriesKernel); err != nil {
		t.Fatal(err)
	}
	loaded, err := patch.Load([]string{s.folder})
	if err != nil {
		t.Fatal(err)
	}
	if _, s.applied, err = patch.Apply(ctx, sh.Runner{}, s.base, loaded, 0, progress.New(os.Stderr, false)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *prefixes) src() string { return filepath.Join(s.dir, "src") }

// checkout makes src the tree after so many patches.
func (s *prefixes) checkout(t *testing.T, patches int) {
	t.Helper()
	tree := *s.base
	if patches > 0 {
		tree.ID = s.applied[patches-1].Tree
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := source.Checkout(s.ctx, sh.Runner{}, &tree, s.src()); err != nil {
		t.Fatal(err)
	}
}

func (s *prefixes) checkpatch(t *testing.T) {
	s.checkout(t, 0)
	for _, a := range s.applied {
		cmd := exec.CommandContext(s.ctx, "perl", "scripts/checkpatch.pl", "--strict", "--terse", "--no-summary",
			"--ignore", "MISSING_SIGN_OFF", filepath.Join(s.folder, a.Name))
		cmd.Dir = s.src()
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("checkpatch of %s: %v\n%s", a.Name, err, out)
		}
	}
}

// compile compiles every prefix for a target, the base first: its warnings are
// not new.
func (s *prefixes) compile(t *testing.T, to target) {
	known := map[string]bool{}
	for n := 0; n <= len(s.applied); n++ {
		s.checkout(t, n)
		name := "the base"
		if n > 0 {
			name = s.applied[n-1].Name
		} else {
			s.configure(t, to)
		}
		what := s.objects(to)
		out, err := s.make(to, what...)
		fresh := news(known, out)
		if n > 0 && len(fresh) > 0 {
			t.Errorf("%s: new after %s:\n%s", to.name, name, strings.Join(fresh, "\n"))
		}
		if err != nil {
			t.Fatalf("%s: %s does not compile: %v\n%s", to.name, name, err, tail(out))
		}
		t.Logf("%s: %s: %d targets", to.name, name, len(what))
	}
	if *seriesWhole {
		if out, err := s.make(to, to.whole...); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(to.whole, " "), err, tail(out))
		}
	}
}

func (s *prefixes) configure(t *testing.T, to target) {
	t.Helper()
	fragment := filepath.Join(s.dir, to.obj()+".config")
	wanted := common + to.config
	if err := os.WriteFile(fragment, []byte(wanted), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.make(to, "KCONFIG_ALLCONFIG="+fragment, "allnoconfig"); err != nil {
		t.Fatalf("%s: %v\n%s", to.name, err, tail(out))
	}
	got, err := os.ReadFile(filepath.Join(s.dir, to.obj(), ".config"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.FieldsSeq(wanted) {
		if !bytes.Contains(got, []byte("\n"+line+"\n")) {
			t.Fatalf("%s: the configuration has no %s", to.name, line)
		}
	}
}

// obj names the folder of a target's objects.
func (to target) obj() string {
	return "obj-" + regexp.MustCompile(`\W+`).ReplaceAllString(to.name, "-")
}

// make returns what make says. Its error is make's exit.
func (s *prefixes) make(to target, what ...string) ([]byte, error) {
	args := append([]string{"-k", "-s", "-j", fmt.Sprint(runtime.NumCPU()), "O=" + filepath.Join(s.dir, to.obj())}, to.vars...)
	cmd := exec.CommandContext(s.ctx, "make", append(args, what...)...)
	cmd.Dir = s.src()
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd.CombinedOutput()
}

// objects are what make is to make of the files that the series touches and
// that are there: their objects, and folders with a header that is touched.
func (s *prefixes) objects(to target) []string {
	all := slices.Clone(to.tables)
	for _, a := range s.applied {
		for _, f := range a.Files {
			top, _, _ := strings.Cut(f, "/")
			if top == "tools" || top == "include" || top == "Documentation" || top == "arch" && !strings.HasPrefix(f, "arch/"+to.arch+"/") {
				continue
			}
			if _, err := os.Stat(filepath.Join(s.src(), f)); err != nil {
				continue
			}
			switch path.Ext(f) {
			case ".c":
				all = append(all, strings.TrimSuffix(f, ".c")+".o")
			case ".h":
				all = append(all, path.Dir(f)+"/")
			}
		}
	}
	all = slices.DeleteFunc(all, func(f string) bool { return f == "fs/" })
	slices.Sort(all)
	return slices.Compact(all)
}

var (
	complaint = regexp.MustCompile(`(?m)^.*(?:warning|error): .*$`)
	position  = regexp.MustCompile(`:\d+(:\d+)?:`)
)

// news returns the complaints in make's output that are not known yet, wherever
// in a file they stand, and makes them known.
func news(known map[string]bool, out []byte) []string {
	var fresh []string
	for _, line := range complaint.FindAllString(string(out), -1) {
		key := position.ReplaceAllString(line, ":")
		if !known[key] {
			fresh = append(fresh, line)
		}
		known[key] = true
	}
	return fresh
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
