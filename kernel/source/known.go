package source

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// DefaultSeries is the series that is meant where none is named.
const DefaultSeries = "6.12"

// A Known is a source that was fetched before.
type Known struct {
	Spec string // what Get is given for it: "6.12", "6.12.63"
	Tree Tree
}

// Known returns the sources that were fetched before, the newest version
// first. Local trees are not among them.
func (s *Store) Known() []Known {
	var all []Known
	for prefix, spec := range map[string]string{"newest-": "", "kernelorg-": "v"} {
		memos, _ := filepath.Glob(s.memoPath(prefix + "*"))
		for _, file := range memos {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			if m, ok := s.load(name); ok {
				all = append(all, Known{Spec: spec + strings.TrimPrefix(name, prefix), Tree: m.Tree})
			}
		}
	}
	// The same tree may have been found in two ways: the series comes first.
	slices.SortFunc(all, func(a, b Known) int {
		if c := CompareVersions(b.Tree.Version, a.Tree.Version); c != 0 {
			return c
		}
		return strings.Compare(a.Spec, b.Spec)
	})
	return slices.CompactFunc(all, func(a, b Known) bool { return a.Tree.ID == b.Tree.ID })
}

// CompareVersions orders versions of Linux: "6.12.3" comes before "6.12.10",
// "7.0.0-rc1" before "7.0.0".
func CompareVersions(a, b string) int {
	number := func(v string) (parts []int, candidate string) {
		v, candidate, _ = strings.Cut(v, "-rc")
		for _, p := range strings.SplitN(v, ".", 3) {
			n, _ := strconv.Atoi(strings.TrimFunc(p, func(r rune) bool { return r < '0' || r > '9' }))
			parts = append(parts, n)
		}
		for len(parts) < 3 {
			parts = append(parts, 0)
		}
		if candidate == "" {
			candidate = "99999" // the release is after all of them
		}
		return parts, candidate
	}
	x, xrc := number(a)
	y, yrc := number(b)
	if c := slices.Compare(x, y); c != 0 {
		return c
	}
	m, _ := strconv.Atoi(xrc)
	n, _ := strconv.Atoi(yrc)
	return m - n
}

// Have returns the tree object id out of the repository of the sources called
// base, nil when it is not there.
func (s *Store) Have(ctx context.Context, base, id string) *Tree {
	tree := &Tree{Base: base, GitDir: s.repo(base), ID: id}
	if _, err := os.Stat(filepath.Join(tree.GitDir, "HEAD")); err != nil {
		return nil
	}
	if err := tree.Git(ctx, s.Sh, "cat-file", "-e", id+"^{tree}").Run(); err != nil {
		return nil
	}
	var err error
	if tree.Version, err = treeVersion(ctx, s.Sh, tree); err != nil {
		return nil
	}
	return tree
}
