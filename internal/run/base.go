package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// A base is what the patches of a kernel are applied to.
type base struct {
	kernel Kernel // with Spec, Base and Fuzz definite
	tree   *source.Tree
	series []patch.Series
	why    string // how it was found, "" where the user named it
}

// base finds out what k is built from. Where its patches say which commit they
// were made on, and the git tree has it, it is that; for Auto it is the newest
// source at hand to which they apply.
func (c *Conductor) base(ctx context.Context, k Kernel, series []patch.Series) (*base, error) {
	b := &base{kernel: k, series: series}
	switch {
	case k.Spec == Auto && len(series) == 0:
		b.kernel.Spec = source.DefaultSeries
		return b, c.get(ctx, b)
	case k.Spec == Auto:
		if tree, ok := treeOfRange(k.Patches); ok {
			b.kernel.Spec = tree
			return b, c.inTree(ctx, b)
		}
		return b, c.search(ctx, b)
	case isTree(k.Spec):
		return b, c.inTree(ctx, b)
	}
	b.why = c.notAtHand(series)
	return b, c.get(ctx, b)
}

// definite is k with its source and base found, so that another kernel can be
// built from the same.
func (c *Conductor) definite(ctx context.Context, k Kernel) (Kernel, error) {
	if k.Ready() {
		return k, nil
	}
	series, err := c.load(ctx, k.Patches)
	if err != nil {
		return k, err
	}
	b, err := c.base(ctx, k, series)
	if err != nil {
		return k, fmt.Errorf("fetch: %w", err)
	}
	return b.kernel, nil
}

// load reads the series that specs name.
func (c *Conductor) load(ctx context.Context, specs []string) ([]patch.Series, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	series, err := c.loader().Load(ctx, specs)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	return series, nil
}

func (c *Conductor) loader() *patch.Loader {
	if c.Patches == nil {
		return &patch.Loader{Sh: c.Sh}
	}
	return c.Patches
}

func (c *Conductor) sources() *source.Store {
	return &source.Store{Dir: filepath.Join(c.Cache, "source"), Sh: c.Sh, Progress: c.Progress, KernelOrg: c.KernelOrg}
}

// get fetches b.kernel.Spec.
func (c *Conductor) get(ctx context.Context, b *base) error {
	var err error
	b.tree, err = c.sources().Get(ctx, b.kernel.Spec)
	if errors.Is(err, source.ErrUnknown) {
		return usagef("%w", err)
	}
	if errors.Is(err, source.ErrNetwork) {
		err = fmt.Errorf("%w; a tree that is here needs none, such as -kernel ./linux", err)
	}
	return err
}

// treeOfRange returns the git tree that one of specs is a range of.
func treeOfRange(specs []string) (string, bool) {
	for _, spec := range specs {
		if tree, _, ok := patch.Range(spec); ok {
			return tree, true
		}
	}
	return "", false
}

// baseCommit is the commit that the first of series that says so was made on.
func baseCommit(series []patch.Series) string {
	for _, s := range series {
		if s.BaseCommit != "" {
			return s.BaseCommit
		}
	}
	return ""
}

// notAtHand says that a series names a commit where there is no git tree.
func (c *Conductor) notAtHand(series []patch.Series) string {
	if commit := baseCommit(series); commit != "" {
		return fmt.Sprintf("the one named; the series was made on commit %.12s, which -kernel TREE would give", commit)
	}
	return ""
}

// inTree finds the base in a git tree, or folder, of the user's.
func (c *Conductor) inTree(ctx context.Context, b *base) error {
	rev, own := b.kernel.Base, b.kernel.Base == ""
	if own {
		rev = baseCommit(b.series)
	}
	if rev == "" || rev == Worktree {
		return c.get(ctx, b)
	}
	tree, err := c.sources().Commit(ctx, b.kernel.Spec, rev)
	if errors.Is(err, source.ErrNoCommit) && own {
		b.why = fmt.Sprintf("%s as it is: it lacks commit %.12s, on which the series was made", b.kernel.Spec, rev)
		return c.get(ctx, b)
	}
	if errors.Is(err, source.ErrNoCommit) {
		return usagef("-base %s: %w", rev, err)
	}
	if err != nil {
		return err
	}
	b.tree, b.kernel.Base = tree, rev
	if own {
		b.why = fmt.Sprintf("commit %.12s of %s, on which the series was made (-base overrides)", rev, b.kernel.Spec)
	}
	return c.needed(ctx, b, rev)
}

// needed puts the patches that the series needs below it before it.
func (c *Conductor) needed(ctx context.Context, b *base, rev string) error {
	found, missing, err := c.loader().Needed(ctx, b.kernel.Spec, rev, b.series)
	if err != nil {
		return fmt.Errorf("patches that the series needs: %w", err)
	}
	if len(found) > 0 {
		b.why += fmt.Sprintf(", with %d prerequisite patches out of it", len(found))
		b.series = append(found, b.series...)
	}
	if len(missing) > 0 {
		b.why += fmt.Sprintf("; not found: prerequisite-patch-id %s", strings.Join(missing[:min(len(missing), 3)], ", "))
	}
	return nil
}

// A found is what search remembers of a series.
type found struct {
	Spec string `json:"spec"`
	Fuzz int    `json:"fuzz"`
	Of   int    `json:"of"` // sources that were tried
}

// search finds the newest source at hand to which the series apply: without
// fuzz, or else with as little as will do. At hand is what was fetched before;
// where that is nothing, the default is fetched. No other is: each is 150 MB,
// and the user knows best which it should be.
func (c *Conductor) search(ctx context.Context, b *base) error {
	store := c.sources()
	known := store.Known()
	memo := filepath.Join(store.Dir, "base-"+searchKey(b.series, known)+".json")
	var f found
	if data, err := readBounded(memo); err == nil && json.Unmarshal(data, &f) == nil && f.Spec != "" {
		return c.settle(ctx, b, f)
	}
	var specs []string
	for _, k := range known {
		specs = append(specs, k.Spec)
	}
	if len(specs) == 0 {
		specs = []string{source.DefaultSeries}
	}
	s := &search{c: c, base: b}
	ok, err := s.among(ctx, specs)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the series applies to no source at hand (%s): name one with -kernel, which fetches it", strings.Join(s.why, "; "))
	}
	// What was fetched meanwhile is known the next time, by another key.
	_ = writeJSON(memo, s.found)
	return c.settle(ctx, b, s.found)
}

// settle makes what was found b's.
func (c *Conductor) settle(ctx context.Context, b *base, f found) error {
	b.kernel.Spec, b.kernel.Fuzz = f.Spec, f.Fuzz
	if err := c.get(ctx, b); err != nil {
		return err
	}
	b.why = fmt.Sprintf("%s, the newest of %d sources at hand to which the series applies", b.tree.Name, f.Of)
	if f.Fuzz > 0 {
		b.why += fmt.Sprintf(", with fuzz %d", f.Fuzz)
	}
	if commit := baseCommit(b.series); commit != "" {
		b.why += fmt.Sprintf("; it was made on commit %.12s, which -kernel TREE would give", commit)
	}
	return nil
}

// A search goes through sources.
type search struct {
	c     *Conductor
	base  *base
	found found
	tried int
	why   []string // what each source lacks
}

// among tries specs, the newest first: all without fuzz before any with it.
func (s *search) among(ctx context.Context, specs []string) (bool, error) {
	s.tried += len(specs)
	for fuzz := 0; fuzz <= patch.MaxFuzz; fuzz++ {
		for _, spec := range specs {
			fits, err := s.try(ctx, spec, fuzz)
			if err != nil {
				return false, err
			}
			if fits {
				s.found = found{Spec: spec, Fuzz: fuzz, Of: s.tried}
				return true, nil
			}
		}
	}
	return false, nil
}

// try says whether the series apply to spec.
func (s *search) try(ctx context.Context, spec string, fuzz int) (bool, error) {
	tree, err := s.c.sources().Get(ctx, spec)
	if err != nil {
		return false, err
	}
	_, _, err = patch.Apply(ctx, s.c.Sh, tree, s.base.series, fuzz, nil)
	var misfit *patch.ApplyError
	if !errors.As(err, &misfit) {
		return err == nil, err
	}
	if fuzz == 0 {
		s.why = append(s.why, fmt.Sprintf("%s: %v", tree.Version, misfit))
	}
	return false, nil
}

// searchKey digests what search depends on.
func searchKey(series []patch.Series, known []source.Known) string {
	h := sha256.New()
	for _, s := range series {
		for _, p := range s.Patches {
			fmt.Fprintln(h, p.Digest)
		}
	}
	for _, k := range known {
		fmt.Fprintln(h, k.Spec, k.Tree.ID)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
