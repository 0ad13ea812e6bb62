package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/compiled"
	"github.com/runvm/runvm/kernel/kconfig"
	"github.com/runvm/runvm/kernel/patch"
)

// gapsFile remembers, beside an image, what of the patches in it is compiled:
// git needs a second to say it, and a warm run is to take no longer.
const gapsFile = "gaps.json"

// foundGaps is gapsFile.
type foundGaps struct {
	Trees []string        `json:"trees"` // base, and one with each patch
	Gaps  [][]verdict.Gap `json:"gaps"`
}

// gaps returns, for each applied patch, the lines it wrote that are in no
// object of the kernel.
func (c *Conductor) gaps(ctx context.Context, b *Built) ([][]verdict.Gap, error) {
	if len(b.Applied) == 0 || b.Config == "" {
		return nil, nil
	}
	want := foundGaps{Trees: []string{b.Base.ID}}
	for _, a := range b.Applied {
		want.Trees = append(want.Trees, a.Tree)
	}
	memo := filepath.Join(b.Dir, gapsFile)
	var old foundGaps
	if data, err := readBounded(memo); err == nil && json.Unmarshal(data, &old) == nil && slices.Equal(old.Trees, want.Trees) {
		return old.Gaps, nil
	}
	var err error
	if want.Gaps, err = c.findGaps(ctx, b); err != nil {
		return nil, err
	}
	_ = writeJSON(memo, want) // a store that can't be written to still serves
	return want.Gaps, nil
}

func (c *Conductor) findGaps(ctx context.Context, b *Built) ([][]verdict.Gap, error) {
	text, err := os.ReadFile(b.Config)
	if err != nil {
		return nil, err
	}
	config, err := kconfig.ReadDotConfig(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Config, err)
	}
	numbered := make([]patch.Applied, len(b.Applied)) // names need not be unique
	for i, a := range b.Applied {
		numbered[i] = a
		numbered[i].Name = strconv.Itoa(i)
	}
	touched, err := patch.TouchedLines(ctx, c.Sh, b.Base, numbered)
	if err != nil {
		return nil, err
	}
	files, err := b.Tree.Reader(ctx, c.Sh)
	if err != nil {
		return nil, err
	}
	tree := &compiled.Tree{Read: files.Read, Config: config, Modules: len(b.Modules) > 0, Sources: b.Sources()}
	all := make([][]verdict.Gap, len(b.Applied))
	for i, a := range b.Applied {
		for _, file := range a.Files {
			all[i] = append(all[i], gapsOf(tree, file, touched[file], strconv.Itoa(i))...)
		}
	}
	return all, files.Close()
}

// gapsOf are the gaps in what one patch wrote of a file.
func gapsOf(tree *compiled.Tree, file string, lines []patch.Lines, name string) []verdict.Gap {
	var own []compiled.Range
	for _, l := range lines {
		if l.Patch == name {
			own = append(own, compiled.Range{First: l.First, Last: l.Last})
		}
	}
	var all []verdict.Gap
	for _, g := range tree.Gaps(file, own) {
		all = append(all, verdict.Gap{File: g.File, First: g.First, Last: g.Last, Why: g.Why, Symbols: g.Symbols})
	}
	return all
}
