package source

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

// toyRepo is a git repository with toy's tree committed and tagged v6.12.
func toyRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, toy("1"))
	toyGit(t, dir, "init", "-q")
	toyGit(t, dir, "add", "-A")
	toyGit(t, dir, "add", "-f", "fs/kept.gen")
	toyGit(t, dir, "commit", "-q", "-m", "toy")
	toyGit(t, dir, "tag", "v6.12")
	return dir
}

// state is everything about the files below dir that a writer would change.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		about := fmt.Sprintf("%v %d %d", info.Mode(), info.Size(), info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			about += " " + digest(text)
		}
		files[path] = about
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// getLocal returns the tree at dir and its files, having checked that nothing
// in dir, nor in its repository, was touched.
func getLocal(t *testing.T, s *Store, dir string) (*Tree, map[string]string) {
	t.Helper()
	before := state(t, dir)
	tree, err := s.Get(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, state(t, dir)); diff != "" {
		t.Errorf("the user's folder was touched:\n%s", diff)
	}
	out := filepath.Join(t.TempDir(), "out")
	mustCheckout(t, tree, out)
	return tree, read(t, out)
}

func TestLocalTreeIsTakenWithItsChanges(t *testing.T) {
	t.Parallel()
	dir := toyRepo(t)
	s := &Store{Dir: t.TempDir()}
	tree, files := getLocal(t, s, dir)
	if diff := cmp.Diff(toy("1"), files); diff != "" {
		t.Errorf("clean tree differs (-tree +got):\n%s", diff)
	}
	if tree.Dirty || !strings.HasSuffix(tree.Name, " v6.12") || tree.Version != "6.12.1" || tree.ID != toyGit(t, dir, "rev-parse", "HEAD^{tree}") {
		t.Errorf("clean tree: %+v", tree)
	}

	want := maps.Clone(toy("2")) // an edited Makefile
	delete(want, "scripts/run.sh")
	want["fs/new.c"] = "int new;\n"
	write(t, dir, map[string]string{"Makefile": want["Makefile"], "fs/new.c": want["fs/new.c"], "fs/built.o": "ELF"})
	if err := os.Remove(filepath.Join(dir, "scripts/run.sh")); err != nil {
		t.Fatal(err)
	}
	dirty, files := getLocal(t, s, dir)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("changed tree differs (-tree +got):\n%s", diff)
	}
	if !dirty.Dirty || !strings.Contains(dirty.Name, "v6.12-dirty (") || dirty.Version != "6.12.2" || dirty.Base != tree.Base {
		t.Errorf("changed tree: %+v", dirty)
	}

	write(t, dir, map[string]string{"Makefile": toy("1")["Makefile"], "scripts/run.sh": toy("1")["scripts/run.sh"]})
	if err := os.Remove(filepath.Join(dir, "fs/new.c")); err != nil {
		t.Fatal(err)
	}
	if again, _ := getLocal(t, s, dir); again.ID != tree.ID || again.Dirty {
		t.Errorf("changes taken back: %+v, want tree %s", again, tree.ID)
	}
}

func TestLocalTreeWithoutGitLeavesBuildProductsOut(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "linux")
	want := maps.Clone(toy("1"))
	want[".gitignore"] = "/*\n" // as Debian's
	write(t, dir, want)
	write(t, dir, map[string]string{"fs/splice.o": "ELF", ".config": "x", "include/generated/autoconf.h": "x", "fs/.splice.o.cmd": "x", "vmlinux": "ELF"})
	// A repository around it that ignores it must not hide it.
	toyGit(t, outer, "init", "-q")
	write(t, outer, map[string]string{".gitignore": "/linux/\n"})
	tree, files := getLocal(t, &Store{Dir: t.TempDir()}, dir)
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("tree differs (-folder +got):\n%s", diff)
	}
	if tree.Dirty || tree.Name != dir {
		t.Errorf("tree %+v", tree)
	}
}

func TestLocalWorktree(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wt")
	toyGit(t, toyRepo(t), "worktree", "add", "-q", "-b", "topic", dir)
	write(t, dir, map[string]string{"fs/splice.c": "int topic;\n"})
	tree, files := getLocal(t, &Store{Dir: t.TempDir()}, dir)
	if !tree.Dirty || files["fs/splice.c"] != "int topic;\n" {
		t.Errorf("tree %+v, %q", tree, files["fs/splice.c"])
	}
}

func TestLocalTreeWithLinkOutIsRefused(t *testing.T) {
	t.Parallel()
	dir := toyRepo(t)
	write(t, dir, map[string]string{"fs/out@": "/etc/passwd"})
	_, err := (&Store{Dir: t.TempDir()}).Get(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "points out of the tree") {
		t.Errorf("error %v", err)
	}
}

// TestStoreIgnoresTheCallersGit is about runvm being run by a git hook.
func TestStoreIgnoresTheCallersGit(t *testing.T) {
	other := toyRepo(t)
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_INDEX_FILE", filepath.Join(other, ".git", "index"))
	before := state(t, other)
	dir := filepath.Join(t.TempDir(), "linux")
	write(t, dir, toy("7"))
	tree, err := (&Store{Dir: t.TempDir()}).Get(t.Context(), dir)
	if err != nil || tree.Version != "6.12.7" || tree.Name != dir || tree.Dirty {
		t.Errorf("tree %+v, %v", tree, err)
	}
	if diff := cmp.Diff(before, state(t, other)); diff != "" {
		t.Errorf("the caller's repository was touched:\n%s", diff)
	}
}

func TestUnknownSourcesAreOneLine(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for spec, want := range map[string]error{
		"":                      ErrUnknown,
		"linux":                 ErrUnknown,
		"6":                     ErrUnknown,
		"6.12.":                 ErrUnknown,
		"6.12.1.2":              ErrUnknown,
		"v6.12-rc1":             ErrUnknown,
		"-oProxy=x":             ErrUnknown,
		"6.12\n":                ErrUnknown,
		"source.go":             ErrUnknown, // a file here, without ./
		empty:                   ErrNotKernel,
		empty + "/none":         ErrNotKernel,
		strings.Repeat("9", 99): ErrUnknown,
	} {
		_, err := (&Store{Dir: t.TempDir()}).Get(t.Context(), spec)
		if !errors.Is(err, want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %q, want one line that is %q", spec, err, want)
		}
	}
}

func TestMissingGitIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	write(t, dir, toy("1"))
	_, err := (&Store{Dir: t.TempDir()}).Get(t.Context(), dir)
	var tool *MissingTool
	if !errors.As(err, &tool) || tool.Tool != "git" {
		t.Errorf("error %v, want git to be missing", err)
	}
	if !errors.As(GitError(sh.Runner{}.Command(t.Context(), "", "git").Run()), &tool) {
		t.Error("a missing git is not recognised")
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"fatal: sha1 file '/c/x.git/objects/pack/tmp_pack_LuBtGh' write error. Out of diskspace",
		"fatal: write error: No space left on device",
		"xz: (stdin): Disk quota exceeded",
	} {
		err := GitError(sh.Runner{}.Command(t.Context(), "", "sh", "-c", "echo "+sh.Quote(said)+" >&2; exit 128").Run())
		if !errors.Is(err, ErrDiskFull) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", said, err)
		}
	}
}
