package run

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/kernel/source"
)

// know makes a tree, of the toy with other files, a source that was fetched
// before as series.
func (toy *toyTree) know(t *testing.T, series string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "linux")
	if err := os.CopyFS(dir, os.DirFS(toy.dir)); err != nil {
		t.Fatal(err)
	}
	major, minor, _ := strings.Cut(series, ".")
	writeFiles(t, dir, map[string]string{"Makefile": "VERSION = " + major + "\nPATCHLEVEL = " + minor + "\nSUBLEVEL = 1\n"})
	writeFiles(t, dir, files)
	store := filepath.Join(toy.cache, "source")
	tree, err := (&source.Store{Dir: store}).Get(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tree.Name = "linux-source-" + series
	data, err := json.Marshal(map[string]any{"Tree": tree})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, store, map[string]string{"newest-" + series + ".json": string(data)})
}

// on finds the base of patches, texts by file name.
func (toy *toyTree) on(t *testing.T, k Kernel, patches map[string]string) (*base, error) {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, patches)
	k.Patches = []string{dir}
	c := &Conductor{Cache: toy.cache}
	series, err := c.load(t.Context(), k.Patches)
	if err != nil {
		t.Fatal(err)
	}
	return c.base(t.Context(), k, series)
}

func TestNewestSourceThatThePatchesApplyToIsFound(t *testing.T) {
	t.Parallel()
	toy := newToyTree(t)
	toy.know(t, "6.1", nil)
	toy.know(t, "6.12", map[string]string{"fs/a.c": "int before;\n" + lines("a", 20)})
	toy.know(t, "7.3", map[string]string{"fs/a.c": strings.Replace(lines("a", 20), "int a3;", "int three;", 1), "fs/b.c": "int gone;\n"})
	for name, c := range map[string]struct {
		patch, spec, why string
		fuzz             int
	}{
		"newest":     {edit("fs/a.c", 10, "int x;"), "7.3", "linux-source-7.3, the newest of 3 sources at hand to which the series applies", 0},
		"offset":     {edit("fs/a.c", 3, "int x;"), "6.12", "linux-source-6.12, the newest of 3 sources at hand to which the series applies", 0},
		"other file": {edit("fs/b.c", 3, "int x;"), "6.12", "linux-source-6.12, the newest of 3", 0},
		// Without fuzz it applies nowhere.
		"fuzz": {"diff --git a/fs/a.c b/fs/a.c\n--- a/fs/a.c\n+++ b/fs/a.c\n@@ -9,6 +9,7 @@\n int other;\n int a10;\n int a11;\n+int x;\n int a12;\n int a13;\n int a14;\n", "7.3", "to which the series applies, with fuzz 1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // found, and remembered
				b, err := toy.on(t, Kernel{Spec: Auto}, map[string]string{"1.patch": c.patch})
				if err != nil {
					t.Fatal(err)
				}
				if b.kernel.Spec != c.spec || b.kernel.Fuzz != c.fuzz || !strings.Contains(b.why, c.why) {
					t.Errorf("%s with fuzz %d: %q; want %s, %d, %q", b.kernel.Spec, b.kernel.Fuzz, b.why, c.spec, c.fuzz, c.why)
				}
			}
		})
	}
}

// TestNoSourceIsFetchedWhereNoneAtHandFits has none that could be fetched.
func TestNoSourceIsFetchedWhereNoneAtHandFits(t *testing.T) {
	t.Parallel()
	toy := newToyTree(t)
	toy.know(t, "6.12", nil)
	toy.know(t, "7.3", nil)
	_, err := toy.on(t, Kernel{Spec: Auto}, map[string]string{"1.patch": edit("fs/none.c", 3, "x")})
	const want = "the series applies to no source at hand (7.3.1: apply 1.patch: fs/none.c: the tree has no such file; " +
		"6.12.1: apply 1.patch: fs/none.c: the tree has no such file): name one with -kernel, which fetches it"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// history makes the toy a git tree of two commits, and dirty; it returns the
// first.
func (toy *toyTree) history(t *testing.T) string {
	t.Helper()
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", toy.dir, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...).Output()
		if err != nil {
			t.Fatalf("git %q: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "one")
	first := git("rev-parse", "HEAD")
	writeFiles(t, toy.dir, map[string]string{"fs/a.c": lines("two", 20)})
	git("commit", "-q", "-am", "two")
	writeFiles(t, toy.dir, map[string]string{"fs/a.c": lines("dirty", 20)})
	return first
}

func TestBaseCommitOfAGitTree(t *testing.T) {
	t.Parallel()
	toy := newToyTree(t)
	first := toy.history(t)
	fix := edit("fs/a.c", 10, "int x;")
	for name, c := range map[string]struct {
		base, trailer, begin, why string
	}{
		"said":       {"", "base-commit: " + first + "\n", "int a1;", "commit " + first[:12] + " of " + toy.dir + ", on which the series was made (-base overrides)"},
		"not said":   {"", "", "int dirty1;", ""},
		"overridden": {Worktree, "base-commit: " + first + "\n", "int dirty1;", ""},
		"named":      {"HEAD", "base-commit: " + first + "\n", "int two1;", ""},
		"absent":     {"", "base-commit: " + strings.Repeat("0", 40) + "\n", "int dirty1;", "as it is: it lacks commit 000000000000"},
		"unmet":      {"", "base-commit: " + first + "\nprerequisite-patch-id: " + strings.Repeat("0", 40) + "\n", "int a1;", "not found: prerequisite-patch-id 0000"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := toy.on(t, Kernel{Spec: toy.dir, Base: c.base}, map[string]string{"1.patch": fix + "-- \n2.39\n\n" + c.trailer})
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.tree.Reader(t.Context(), (&Conductor{}).Sh)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := r.Read("fs/a.c"); !strings.HasPrefix(string(text), c.begin) {
				t.Errorf("fs/a.c begins %.12q, want %q", text, c.begin)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if (b.why == "") != (c.why == "") || !strings.Contains(b.why, c.why) {
				t.Errorf("why %q, want %q", b.why, c.why)
			}
		})
	}
	if _, err := toy.on(t, Kernel{Spec: toy.dir, Base: "nothing"}, map[string]string{"1.patch": fix}); !errors.Is(err, ErrUsage) {
		t.Errorf("a base that is not there: %v", err)
	}
}

func TestCommandNamesTheSourceThatWasFound(t *testing.T) {
	t.Parallel()
	b := &Built{Tree: &source.Tree{}, On: Kernel{Spec: "7.3"}}
	if got := strings.Join(named([]string{"runvm", "test", "-patches", "x"}, Kernel{Spec: Auto}, b), " "); got != "runvm test -kernel 7.3 -patches x" {
		t.Error(got)
	}
	if got := strings.Join(named([]string{"runvm", "test"}, Kernel{Spec: "6.1"}, b), " "); got != "runvm test" {
		t.Error(got)
	}
}
