package source

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

// TestFirstReadingTakesOverTheIndex reads trees that were never read before:
// through the user's index where it is a plain one, else file by file, and
// with the changes of this very second both times.
func TestFirstReadingTakesOverTheIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare  func(t *testing.T, dir string)
		borrowed bool
	}{
		"plain": {func(*testing.T, string) {}, true},
		"files that git is told not to look at": {func(t *testing.T, dir string) {
			toyGit(t, dir, "update-index", "--assume-unchanged", "fs/splice.c")
		}, false},
		"files that git is told are elsewhere": {func(t *testing.T, dir string) {
			toyGit(t, dir, "update-index", "--skip-worktree", "fs/splice.c")
		}, false},
		"a new file without content": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"fs/added.c": "int added;\n"})
			toyGit(t, dir, "add", "-N", "fs/added.c")
		}, true},
		"an object is lost": {func(t *testing.T, dir string) {
			id := toyGit(t, dir, "rev-parse", "HEAD:fs/splice.c")
			if err := os.Remove(filepath.Join(dir, ".git/objects", id[:2], id[2:])); err != nil {
				t.Fatal(err)
			}
		}, false},
		"a conflict": {func(t *testing.T, dir string) {
			id := toyGit(t, dir, "rev-parse", "HEAD:fs/splice.c")
			line := func(stage string) string { return "100644 " + id + " " + stage + "\tfs/splice.c\n" }
			cmd := exec.Command("git", "update-index", "--index-info")
			cmd.Dir = dir
			cmd.Stdin = strings.NewReader("0 " + strings.Repeat("0", 40) + "\tfs/splice.c\n" + line("1") + line("2") + line("3"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := toyRepo(t)
			c.prepare(t, dir)
			want := maps.Clone(toy("1"))
			want["fs/splice.c"] = strings.ToUpper(want["fs/splice.c"]) // as many bytes as before
			write(t, dir, map[string]string{"fs/splice.c": want["fs/splice.c"]})
			if text, err := os.ReadFile(filepath.Join(dir, "fs/added.c")); err == nil {
				want["fs/added.c"] = string(text)
			}
			var echo bytes.Buffer
			tree, files := getLocal(t, &Store{Dir: t.TempDir(), Sh: sh.Runner{Echo: &echo}}, dir)
			if diff := cmp.Diff(want, files); diff != "" || !tree.Dirty {
				t.Errorf("tree %+v differs (-folder +got):\n%s", tree, diff)
			}
			if got := !strings.Contains(echo.String(), " fast-import "); got != c.borrowed {
				t.Errorf("borrowed %v, want %v:\n%s", got, c.borrowed, &echo)
			}
		})
	}
}

func TestFirstReadingOfAFolderBelowItsRepository(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "linux")
	write(t, dir, toy("1"))
	write(t, outer, map[string]string{"fs/splice.c": "not a kernel's\n"})
	toyGit(t, outer, "init", "-q")
	toyGit(t, outer, "add", "-A", "-f")
	if _, files := getLocal(t, &Store{Dir: t.TempDir()}, dir); cmp.Diff(toy("1"), files) != "" {
		t.Errorf("tree differs (-folder +got):\n%s", cmp.Diff(toy("1"), files))
	}
}
