//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/config"
	"github.com/runvm/runvm/kernel/source"
)

var (
	more    = flag.Bool("more", false, "run what needs kernels that nothing else needs: three builds")
	treeDir = flag.String("tree-dir", "", "keep the kernel tree of TestTree in this folder, for the next run")
)

// TestMore runs the scripts that build kernels of their own.
func TestMore(t *testing.T) {
	if !*more {
		t.Skip("run it by make more")
	}
	needs := []distro.Need{
		{Tool: "gdb", Package: "gdb", Why: "opens cores"},
		{Tool: "drgn", Package: "python3-drgn", Why: "opens cores"},
	}
	if err := distro.Host(sh.Runner{}, os.Stderr).Ensure(t.Context(), needs); err != nil {
		t.Fatal(err)
	}
	scripts(t, "testdata/more")
}

// small are the fragments of the kernel of TestTree.
const small = "base,x86_64,virtio,crash,dump"

// moved is on top of them: modules, one of them LKDTM, and a kernel that lies
// somewhere else at each boot, unless QEMU starts its vmlinux.
const moved = `
CONFIG_MODULES=y
CONFIG_LKDTM=m
CONFIG_RELOCATABLE=y
CONFIG_RANDOMIZE_BASE=y
`

// TestTree runs scripts on the images that make leaves in a tree ($TREE) of
// somebody who builds a kernel without runvm.
func TestTree(t *testing.T) {
	if !*more {
		t.Skip("run it by make more")
	}
	scripts(t, "testdata/tree", "TREE="+buildTree(t))
}

// buildTree makes a kernel with modules and returns the folder of its objects.
func buildTree(t *testing.T) string {
	t.Helper()
	dir := *treeDir
	if dir == "" {
		dir = t.TempDir()
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	store := &source.Store{Dir: filepath.Join(cache, "runvm", "source"), Progress: progress.New(os.Stderr, false)}
	tree, err := store.Get(t.Context(), source.DefaultSeries)
	if err != nil {
		t.Fatal(err)
	}
	src, obj := filepath.Join(dir, "src"), filepath.Join(dir, "obj")
	if err := os.MkdirAll(obj, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := source.Checkout(t.Context(), sh.Runner{}, tree, src); err != nil {
		t.Fatal(err)
	}
	symbols, err := config.Load(small, true)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range symbols {
		if s.Name != "LKDTM" {
			fmt.Fprintf(&text, "CONFIG_%s=%s\n", s.Name, s.Value)
		}
	}
	fragment := filepath.Join(dir, "fragment")
	if err := os.WriteFile(fragment, []byte(text.String()+moved), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, what := range [][]string{{"KCONFIG_ALLCONFIG=" + fragment, "allnoconfig"}, {"vmlinux", "bzImage", "modules"}} {
		cmd := exec.CommandContext(t.Context(), "make", append([]string{"-s", "-j", fmt.Sprint(runtime.NumCPU()), "O=" + obj}, what...)...)
		cmd.Dir = src
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", strings.Join(what, " "), err, tail(out))
		}
	}
	return obj
}
