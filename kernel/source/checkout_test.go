package source

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func mustCheckout(t *testing.T, tree *Tree, dir string) {
	t.Helper()
	if err := Checkout(t.Context(), sh.Runner{}, tree, dir); err != nil {
		t.Fatal(err)
	}
}

func TestCheckoutTouchesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	dir := filepath.Join(t.TempDir(), "linux")
	mustCheckout(t, tree, dir)
	before := mtime(filepath.Join(dir, "fs/splice.c"))
	time.Sleep(20 * time.Millisecond)

	changed := maps.Clone(toy("2"))
	delete(changed, "scripts/run.sh")
	changed["fs/new.c"] = "int new;\n"
	addTree(t, tree, changed)
	mustCheckout(t, tree, dir)
	if diff := cmp.Diff(changed, read(t, dir)); diff != "" {
		t.Errorf("content differs (-tree +checkout):\n%s", diff)
	}
	if after := mtime(filepath.Join(dir, "fs/splice.c")); after != before {
		t.Errorf("unchanged file was touched")
	}
	if mtime(filepath.Join(dir, "Makefile")) <= before {
		t.Errorf("changed file has an old time: make would not see it")
	}
}

func TestCheckoutRestoresTheFolder(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	for name, damage := range map[string]func(dir string) error{
		"edited":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "Makefile"), []byte("x"), 0o644) },
		"deleted": func(dir string) error { return os.Remove(filepath.Join(dir, "fs/splice.c")) },
		"added":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "fs/x.o"), nil, 0o644) },
		"locked":  func(dir string) error { return os.WriteFile(dir+".index.lock", nil, 0o644) },
		"torn":    func(dir string) error { return os.Truncate(dir+".index", 100) },
		"garbage": func(dir string) error { return os.WriteFile(dir+".index", bytes.Repeat([]byte("x"), 200), 0o644) },
		"emptied": func(dir string) error { return os.Truncate(dir+".index", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "linux")
			mustCheckout(t, tree, dir)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			mustCheckout(t, tree, dir)
			if diff := cmp.Diff(toy("1"), read(t, dir)); diff != "" {
				t.Errorf("content differs (-tree +checkout):\n%s", diff)
			}
		})
	}
}

func TestCheckoutLeavesOtherFoldersAlone(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	dir := t.TempDir()
	write(t, dir, map[string]string{"thesis.txt": "years of work"})
	err := Checkout(t.Context(), sh.Runner{}, tree, dir)
	if err == nil || !strings.Contains(err.Error(), "not from here") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(map[string]string{"thesis.txt": "years of work"}, read(t, dir)); diff != "" {
		t.Errorf("the folder was changed:\n%s", diff)
	}
}

func TestCheckoutDoesNotFollowLinks(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	outside := t.TempDir()
	write(t, outside, map[string]string{"splice.c": "mine"})
	dir := filepath.Join(t.TempDir(), "linux")
	mustCheckout(t, tree, dir)
	// The folder fs becomes a link to somewhere else: its files must not be
	// restored over there.
	if err := os.RemoveAll(filepath.Join(dir, "fs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "fs")); err != nil {
		t.Fatal(err)
	}
	mustCheckout(t, tree, dir)
	if diff := cmp.Diff(map[string]string{"splice.c": "mine"}, read(t, outside)); diff != "" {
		t.Errorf("a file outside was changed:\n%s", diff)
	}
	if diff := cmp.Diff(toy("1"), read(t, dir)); diff != "" {
		t.Errorf("content differs (-tree +checkout):\n%s", diff)
	}
}

func TestCheckoutRefusesTreeWithLinkOut(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("1"))
	blob := tree.Git(t.Context(), sh.Runner{}, "hash-object", "-w", "--stdin")
	blob.Stdin = strings.NewReader("/etc/passwd")
	id, err := blob.Output()
	if err != nil {
		t.Fatal(err)
	}
	mktree := tree.Git(t.Context(), sh.Runner{}, "mktree")
	mktree.Stdin = strings.NewReader("120000 blob " + strings.TrimSpace(string(id)) + "\tshadow\n")
	out, err := mktree.Output()
	if err != nil {
		t.Fatal(err)
	}
	tree.ID = strings.TrimSpace(string(out))
	dir := filepath.Join(t.TempDir(), "linux")
	if err := Checkout(t.Context(), sh.Runner{}, tree, dir); err == nil || !strings.Contains(err.Error(), "points out of the tree") {
		t.Errorf("error %v", err)
	}
}
