package patch

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// Lines are those of a file that one patch wrote.
type Lines struct {
	First int    `json:"first"` // from 1
	Last  int    `json:"last"`
	Patch string `json:"patch"` // Applied.Name
}

// Touched are the lines that patches wrote, by path and in order. Lines that
// a later patch wrote again are the later one's.
type Touched map[string][]Lines

// At returns the name of the patch that wrote a line of file, "" when none did.
func (t Touched) At(file string, line int) string {
	for _, l := range t[file] {
		if l.First <= line && line <= l.Last {
			return l.Patch
		}
	}
	return ""
}

// TouchedLines returns the lines of the tree with all patches that the patches
// wrote. base is the tree before the first of them; applied is what Apply
// returned for it.
func TouchedLines(ctx context.Context, run sh.Runner, base *source.Tree, applied []Applied) (Touched, error) {
	t := Touched{}
	if len(applied) == 0 {
		return t, nil
	}
	before := base.ID
	var pairs strings.Builder
	for _, a := range applied {
		fmt.Fprintf(&pairs, "%s %s\n", before, a.Tree)
		before = a.Tree
	}
	cmd := base.Git(ctx, run, "diff-tree", "--stdin", "-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
	cmd.Stdin = strings.NewReader(pairs.String())
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("lines of the patches: %w", source.GitError(err))
	}
	diffs, err := splitPairs(out, applied)
	if err != nil {
		return nil, err
	}
	for i, diff := range diffs {
		files, _, err := gitdiff.Parse(bytes.NewReader(diff))
		if err != nil {
			return nil, fmt.Errorf("lines of %s: %w", applied[i].Name, err)
		}
		for _, f := range files {
			t.apply(f, applied[i].Name)
		}
	}
	return t, nil
}

// splitPairs cuts git's output at the line with two trees that stands before
// the changes of each patch.
func splitPairs(out []byte, applied []Applied) ([][]byte, error) {
	var diffs [][]byte
	for i, a := range applied {
		head, rest, ok := bytes.Cut(out, []byte(" "+a.Tree+"\n"))
		if !ok {
			return nil, fmt.Errorf("lines of %s: git shows no changes", a.Name)
		}
		if i > 0 {
			// the id of the tree before stands at the end of head
			head = head[:bytes.LastIndexByte(head, '\n')+1]
			diffs = append(diffs, head)
		}
		out = rest
	}
	return append(diffs, out), nil
}

// apply moves the lines of a file to where a patch leaves them and adds its own.
func (t Touched) apply(f *gitdiff.File, name string) {
	var moved, own []Lines
	rest := t[f.OldName]
	delta := 0
	for _, h := range f.TextFragments {
		// with no context, a hunk that only adds names the line before it
		first, count := int(h.OldPosition), int(h.OldLines)
		if count == 0 {
			first++
		}
		var before []Lines
		before, rest = cut(rest, first, first+count)
		moved = append(moved, shift(before, delta)...)
		delta += int(h.NewLines) - count
		if h.NewLines > 0 {
			own = append(own, Lines{int(h.NewPosition), int(h.NewPosition + h.NewLines - 1), name})
		}
	}
	moved = append(append(moved, shift(rest, delta)...), own...)
	slices.SortFunc(moved, func(a, b Lines) int { return cmp.Compare(a.First, b.First) })
	delete(t, f.OldName)
	if f.NewName != "" && len(moved) > 0 {
		t[f.NewName] = moved
	}
}

// cut returns what of all lies before line from, and what lies at line to or
// behind it. What lies between is gone.
func cut(all []Lines, from, to int) (before, after []Lines) {
	for _, l := range all {
		if l.First < from {
			before = append(before, Lines{l.First, min(l.Last, from-1), l.Patch})
		}
		if l.Last >= to {
			after = append(after, Lines{max(l.First, to), l.Last, l.Patch})
		}
	}
	return before, after
}

func shift(lines []Lines, by int) []Lines {
	for i := range lines {
		lines[i].First += by
		lines[i].Last += by
	}
	return lines
}
