package compiled

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/kernel/kconfig"
)

// toy is a tree in which FUSE is built, DAX is not, and NFSD is a module.
func toy() *Tree {
	files := map[string]string{
		"Kbuild":                 "obj-y += fs/ kernel/\nobj-y += drivers/ # all\n",
		"fs/Makefile":            "obj-y := open.o \\\n\tread.o\nobj-$(CONFIG_FUSE_FS) += fuse/\nobj-$(CONFIG_NFSD) += nfsd/\nobj-$(CONFIG_EXT9) += ext9/\n",
		"fs/fuse/Makefile":       "obj-$(CONFIG_FUSE_FS) += fuse.o\nobj-$(CONFIG_VIRTIO_FS) += virtiofs.o\nfuse-y := dev.o\nfuse-$(CONFIG_FUSE_DAX) += dax.o\nvirtiofs-y := virtio_fs.o\nifdef CONFIG_SYSCTL\nfuse-y += sysctl.o\nendif\n",
		"fs/nfsd/Makefile":       "obj-$(CONFIG_NFSD) += nfsd.o\nnfsd-objs := vfs.o\n",
		"fs/ext9/Makefile":       "obj-y += super.o\n",
		"drivers/Makefile":       "obj-$(CONFIG_NET) += net/phy/\n",
		"drivers/net/phy/Kbuild": "obj-m += always.o\nobj-y += core.o\n",
		"fs/fuse/loop/Makefile":  "obj-y += a.o\na-y := b.o\nb-y := a.o\n",
		"kernel/Makefile":        "obj-y += main.o\n",
		"fs/open.c":              "", "fs/fuse/dev.c": "", "fs/fuse/dax.c": "", "fs/fuse/virtio_fs.c": "", "fs/fuse/sysctl.c": "",
		"fs/nfsd/vfs.c": "", "fs/ext9/super.c": "", "fs/fuse/new.c": "", "drivers/net/phy/core.c": "", "drivers/net/phy/always.c": "",
		"kernel/main.c": "", "kernel/part.c": "", "include/linux/a.h": "", "include/linux/b.h": "", "arch/arm64/kernel/a.S": "", "arch/x86/kernel/a.S": "",
	}
	return &Tree{
		Read:   func(name string) ([]byte, bool) { text, ok := files[name]; return []byte(text), ok },
		Config: kconfig.DotConfig{"FUSE_FS": "y", "NFSD": "m", "NET": "y"},
		Sources: map[string]bool{"fs/open.c": true, "fs/fuse/dev.c": true, "kernel/main.c": true, "kernel/part.c": true,
			"include/linux/a.h": true, "drivers/net/phy/core.c": true, "arch/x86/kernel/a.S": true, "fs/ext9/super.c": true},
	}
}

// said is a gap in a line.
func said(g Gap) string {
	at := g.File
	if g.First > 0 {
		at += fmt.Sprintf(":%d-%d", g.First, g.Last)
	}
	return fmt.Sprintf("%s: %s %q", at, g.Why, g.Symbols)
}

func TestFilesThatAreNotBuilt(t *testing.T) {
	t.Parallel()
	tree := toy()
	for file, want := range map[string]string{
		"fs/open.c":                "",
		"fs/fuse/dev.c":            "",
		"kernel/part.c":            "", // no rule names it, yet another file includes it
		"arch/x86/kernel/a.S":      "",
		"drivers/net/phy/core.c":   "",
		"include/linux/a.h":        "",
		"tools/x.c":                "",
		"fs/Makefile":              "",
		"fs/gone.c":                "",
		"fs/fuse/dax.c":            "fs/fuse/dax.c: not built [\"CONFIG_FUSE_DAX is not set\"]",
		"fs/fuse/virtio_fs.c":      "fs/fuse/virtio_fs.c: not built [\"CONFIG_VIRTIO_FS is not set\"]",
		"fs/fuse/sysctl.c":         "fs/fuse/sysctl.c: not built [\"CONFIG_SYSCTL is not set\"]",
		"fs/nfsd/vfs.c":            "fs/nfsd/vfs.c: not built [\"CONFIG_NFSD=m, and modules are not built\"]",
		"fs/fuse/new.c":            "fs/fuse/new.c: not built: no makefile of its folder names it []",
		"drivers/net/phy/always.c": "drivers/net/phy/always.c: not built: no makefile of its folder names it []",
		"include/linux/b.h":        "include/linux/b.h: no file that is compiled includes it []",
		"arch/arm64/kernel/a.S":    "arch/arm64/kernel/a.S: of another architecture, arm64 []",
		// An object of an earlier configuration is not this one's.
		"fs/ext9/super.c": "fs/ext9/super.c: not built [\"CONFIG_EXT9 is not set\"]",
	} {
		got := ""
		if gaps := tree.Gaps(file, []Range{{1, 1}}); len(gaps) > 0 {
			got = said(gaps[0])
		}
		if got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", file, got, want)
		}
	}
	tree.Modules, tree.Sources["fs/nfsd/vfs.c"] = true, true
	if gaps := tree.Gaps("fs/nfsd/vfs.c", []Range{{1, 1}}); len(gaps) > 0 {
		t.Errorf("of a module that is built: %v", gaps)
	}
	tree.Sources = nil
	if gaps := tree.Gaps("fs/fuse/new.c", nil); gaps != nil {
		t.Errorf("without a record of what was compiled: %v", gaps)
	}
}

const source = `int a;
#ifdef CONFIG_NFSD_V4
int b;
int b2; /* #endif */
#else
int c;
#endif
#if defined(CONFIG_FUSE_FS) && !IS_ENABLED(CONFIG_NET)
int d;

// only a comment
#elif IS_ENABLED(CONFIG_NFSD)
int e;
#elif 1
int f;
#else
int g;
#endif
#ifndef CONFIG_NET
#if UNKNOWN
int h;
#endif
#endif
#if UNKNOWN
int i;
#elif !defined(CONFIG_NET)
int j;
#else
int k;
#endif
void l(void)
{
	if (IS_ENABLED(CONFIG_FUSE_DAX) && a) {
		m();
	} else {
		n();
	}
	if (!IS_ENABLED(CONFIG_NET))
		o("} /*");
	if (IS_BUILTIN(CONFIG_NFSD) || a)
		p();
	if (IS_ENABLED(CONFIG_NET)) {
		q();
	} else {
		r();
	}
}
#if 0
int s;
#endif
`

func TestLinesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	tree := toy()
	read := tree.Read
	tree.Read = func(name string) ([]byte, bool) {
		if name == "fs/open.c" {
			return []byte(source), true
		}
		return read(name)
	}
	var got []string
	for _, g := range tree.Gaps("fs/open.c", []Range{{1, strings.Count(source, "\n")}}) {
		got = append(got, strings.TrimPrefix(said(g), "fs/open.c:"))
	}
	want := []string{
		"3-4: inside #ifdef CONFIG_NFSD_V4 [\"CONFIG_NFSD_V4 is not set\"]",
		"9-9: inside #if defined(CONFIG_FUSE_FS) && !IS_ENABLED(CONFIG_NET) [\"CONFIG_NET=y\"]",
		"15-15: in the #elif of #if defined(CONFIG_FUSE_FS) && !IS_ENABLED(CONFIG_NET) [\"CONFIG_NFSD=m\"]",
		"17-17: in the #else of #if defined(CONFIG_FUSE_FS) && !IS_ENABLED(CONFIG_NET) [\"CONFIG_NFSD=m\"]",
		"20-22: inside #ifndef CONFIG_NET [\"CONFIG_NET=y\"]",
		"27-27: inside #elif !defined(CONFIG_NET) [\"CONFIG_NET=y\"]",
		"34-34: inside if (IS_ENABLED(CONFIG_FUSE_DAX) && a) [\"CONFIG_FUSE_DAX is not set\"]",
		"39-39: inside if (!IS_ENABLED(CONFIG_NET)) [\"CONFIG_NET=y\"]",
		"45-45: in the else of if (IS_ENABLED(CONFIG_NET)) [\"CONFIG_NET=y\"]",
		"49-49: inside #if 0 []",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if gaps := tree.Gaps("fs/open.c", []Range{{1, 1}, {6, 6}, {11, 11}, {13, 13}, {25, 25}, {29, 29}, {36, 36}, {41, 41}}); gaps != nil {
		t.Errorf("lines that are compiled, or may be: %v", gaps)
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	c := kconfig.DotConfig{"A": "y", "M": "m", "N": "8", "H": "0x0"}
	for text, want := range map[string]truth{
		"defined(CONFIG_A)": yes, "defined CONFIG_A": yes, "defined(CONFIG_M)": no, "defined(CONFIG_M_MODULE)": yes, "defined(CONFIG_B)": no,
		"IS_ENABLED(CONFIG_M)": yes, "IS_BUILTIN(CONFIG_M)": no, "IS_MODULE(CONFIG_M)": yes, "IS_REACHABLE(CONFIG_M)": unknown,
		"CONFIG_A": yes, "CONFIG_B": no, "CONFIG_N": yes, "CONFIG_H": no, "CONFIG_N > 4": unknown, "0": no, "1UL": yes, "X": unknown, "f(x, (y))": unknown,
		"X && CONFIG_B": no, "X || CONFIG_A": yes, "X && CONFIG_A": unknown, "!(CONFIG_A && CONFIG_B)": yes, "CONFIG_A || (": unknown,
		"": unknown, "!": unknown, "CONFIG_A ? 0 : 1": unknown, "CONFIG_A CONFIG_B": unknown, "&x == CONFIG_B": unknown, "(CONFIG_A": unknown,
		"defined(CONFIG_": unknown, "LINUX_VERSION_CODE >= KERNEL_VERSION(6,1,0)": unknown, "-1": unknown, "defined(__KERNEL__)": yes,
		strings.Repeat("!", 100) + "1": unknown, strings.Repeat("(", 5000): unknown,
	} {
		if got, _ := evaluate(text, c); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

// FuzzRegions feeds it what patches could make of a file and its makefile.
func FuzzRegions(f *testing.F) {
	f.Add(source, "obj-$(CONFIG_A) += a.o\nifdef CONFIG_B\nelse\nendif\n")
	f.Add("#if\n#elif\n#else\n#else\n#endif\n#endif\nif(CONFIG_A){", "a-y += a.o\n")
	f.Add("/* \"\n'\\", "obj-y += a.o a.o")
	f.Fuzz(func(t *testing.T, text, makefile string) {
		lines := strings.Count(text, "\n") + 1
		tree := &Tree{Config: kconfig.DotConfig{"A": "y"}, Read: func(name string) ([]byte, bool) {
			if name == "fs/a.c" {
				return []byte(text), true
			}
			return []byte(makefile), true
		}}
		for _, g := range tree.Gaps("fs/a.c", []Range{{1, lines}}) {
			if g.Why == "" || g.First < 0 || g.Last < g.First || g.Last > lines {
				t.Errorf("%+v of %d lines", g, lines)
			}
		}
	})
}

func TestObjectsAreCounted(t *testing.T) {
	t.Parallel()
	tree := toy()
	// Six folders' archives, fs/open.o fs/read.o fuse.o dev.o core.o main.o.
	if got := tree.Objects(); got != 12 {
		t.Errorf("%d objects, want 12", got)
	}
	tree.Config["FUSE_DAX"] = "y"
	if got := tree.Objects(); got != 13 {
		t.Errorf("%d objects with dax.o, want 13", got)
	}
}
