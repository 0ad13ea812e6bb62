package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func TestCommitOfATree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, toy("1"))
	toyGit(t, dir, "init", "-q")
	toyGit(t, dir, "add", "-fA")
	toyGit(t, dir, "commit", "-q", "-m", "one")
	toyGit(t, dir, "tag", "-m", "one", "v1")
	first := toyGit(t, dir, "rev-parse", "HEAD")
	write(t, dir, map[string]string{"Makefile": toy("2")["Makefile"]})
	toyGit(t, dir, "commit", "-q", "-am", "two")
	write(t, dir, map[string]string{"fs/splice.c": "dirty\n"})

	s := &Store{Dir: t.TempDir()}
	for rev, want := range map[string]string{"v1": "6.12.1", first: "6.12.1", "HEAD": "6.12.2"} {
		for range 2 { // fetched, and there already
			tree, err := s.Commit(t.Context(), dir, rev)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Version != want {
				t.Errorf("%s: version %s, want %s", rev, tree.Version, want)
			}
			r, err := tree.Reader(t.Context(), sh.Runner{})
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := r.Read("fs/splice.c"); string(text) != toy("1")["fs/splice.c"] {
				t.Errorf("%s: fs/splice.c is %q: not the commit's", rev, text)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".git", "FETCH_HEAD")); err == nil {
		t.Error("the user's repository was written to")
	}
	for _, rev := range []string{"v9", "", "--all", "HEAD\nx", "0123456789012345678901234567890123456789"} {
		if _, err := s.Commit(t.Context(), dir, rev); !errors.Is(err, ErrNoCommit) {
			t.Errorf("%q: error %v", rev, err)
		}
	}
	if _, err := s.Commit(t.Context(), t.TempDir(), first); !errors.Is(err, ErrNoCommit) {
		t.Errorf("a folder that is no git tree: %v", err)
	}
}

func TestKnownSourcesAreSorted(t *testing.T) {
	t.Parallel()
	s := &Store{Dir: t.TempDir()}
	for name, tree := range map[string]Tree{
		"newest-6.12":       {Base: "debian-6.12", Version: "6.12.117", ID: "a"},
		"newest-7.3":        {Base: "debian-7.3", Version: "7.3.4", ID: "b"},
		"kernelorg-6.12.9":  {Base: "kernelorg-6.12.9", Version: "6.12.9", ID: "c"},
		"kernelorg-7.3.4":   {Base: "kernelorg-7.3.4", Version: "7.3.4", ID: "b"},
		"local-0123456789a": {Base: "local-0123456789a", Version: "9.9.9", ID: "d"},
	} {
		if err := makeRepo(t.Context(), s.Sh, s.repo(tree.Base)); err != nil {
			t.Fatal(err)
		}
		if err := s.save(name, memo{Tree: tree}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, k := range s.Known() {
		got = append(got, k.Spec+" "+k.Tree.ID)
	}
	if d := cmp.Diff([]string{"7.3 b", "6.12 a", "v6.12.9 c"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	sorted := []string{"5.19.17", "6.1.192", "6.12", "6.12.9", "6.12.117", "7.0.0-rc2", "7.0.0-rc10", "7.0.0", "7.3.4"}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, CompareVersions)
	if d := cmp.Diff(sorted, shuffled); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
