// Package compiled tells which lines of a kernel tree are in no object of a
// kernel that was built from it, and which symbol of the configuration would
// change that: a patch whose lines were never compiled has not been tested,
// whatever the tests said.
//
// Nothing is guessed. A file is "not built" when kbuild left no record of it
// or a rule of its makefiles asks for a symbol that is not set; a line is left
// out when the preprocessor's condition around it, or an if (IS_ENABLED(…)),
// is false for sure. What cannot be told counts as compiled.
//
// The text comes from strangers: everything that is read is bounded.
package compiled

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/runvm/runvm/kernel/kconfig"
)

// The bounds of what is read.
const (
	maxSource = 4 << 20 // bytes of a file; Linux's largest with code have 2 MiB
	maxNested = 64      // conditions in one another
	maxExpr   = 4 << 10 // bytes of a condition
	maxGaps   = 50      // of one file
)

// arch is the folder below arch/ that is built.
const arch = "x86"

// A Tree is a kernel tree and what was built of it.
type Tree struct {
	// Read returns the content of a file of the tree, false when there is none.
	Read func(name string) ([]byte, bool)
	// Config is the .config.
	Config kconfig.DotConfig
	// Modules says that what is m is built, too.
	Modules bool
	// Sources are the files that objects were made of, headers included; nil
	// when that is not known.
	Sources map[string]bool
}

// A Range are lines of a file, from 1, both included.
type Range struct{ First, Last int }

// A Gap is a part of a file that is in no object.
type Gap struct {
	File string
	// Range is zero for the whole file.
	Range
	// Why is "not built", "inside #ifdef CONFIG_X".
	Why string
	// Symbols have to be set otherwise, as "CONFIG_X is not set"; none when
	// no symbol is known that would help.
	Symbols []string
}

// Gaps returns which of the lines of a file are in no object. Files that are
// no part of the kernel proper (tools, documentation, makefiles) have none.
func (t *Tree) Gaps(file string, lines []Range) []Gap {
	if !isSource(file) {
		return nil
	}
	if other, ok := otherArch(file); ok {
		return []Gap{{File: file, Why: "of another architecture, " + other}}
	}
	text, ok := t.Read(file)
	if !ok || len(text) > maxSource {
		return nil // gone in this tree, or no source that people write
	}
	if why, symbols, left := t.unbuilt(file); left {
		return []Gap{{File: file, Why: why, Symbols: symbols}}
	}
	return t.leftOut(file, text, lines)
}

// leftOut returns which of the lines of a file that is built are not compiled.
func (t *Tree) leftOut(file string, text []byte, lines []Range) []Gap {
	plain := blank(text)
	found := regions(plain, t.Config)
	if len(found) == 0 {
		return nil
	}
	dead := map[int]int{} // line: 1 + index in found, of the outermost
	slices.SortStableFunc(found, func(a, b region) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last))
	})
	for i, r := range found {
		for n := r.First; n <= r.Last; n++ {
			if dead[n] == 0 {
				dead[n] = i + 1
			}
		}
	}
	code := codeLines(plain)
	var gaps []Gap
	for _, l := range lines {
		in := 0
		for n := max(1, l.First); n <= min(l.Last, len(code)); n++ {
			switch at := dead[n]; {
			case at == 0:
				in = 0
			case !code[n-1]:
			case at == in:
				gaps[len(gaps)-1].Last = n
			case len(gaps) < maxGaps:
				in = at
				r := found[at-1]
				gaps = append(gaps, Gap{File: file, Range: Range{n, n}, Why: r.why, Symbols: t.unmet(r.symbols)})
			}
		}
	}
	return gaps
}

// codeLines says of each line of a blanked text whether something is left.
func codeLines(plain []byte) []bool {
	var all []bool
	for line := range bytes.Lines(plain) {
		all = append(all, len(bytes.TrimSpace(line)) > 0)
	}
	return all
}

// Builds says that the tree has a file and a makefile that makes an object of
// it in this configuration.
func (t *Tree) Builds(file string) bool {
	if _, other := otherArch(file); other || !isSource(file) {
		return false
	}
	if _, ok := t.Read(file); !ok {
		return false
	}
	conds, ruled := t.rules(file)
	return ruled && len(t.unmet(conds)) == 0
}

// isSource says that a file's lines are compiled into kernels.
func isSource(file string) bool {
	top, _, _ := strings.Cut(file, "/")
	switch top {
	case "tools", "scripts", "Documentation", "usr", "rust":
		return false
	}
	switch path.Ext(file) {
	case ".c", ".S", ".h":
		return true
	}
	return false
}

// otherArch returns the architecture that a file belongs to, unless it is the
// one that is built.
func otherArch(file string) (string, bool) {
	parts := strings.SplitN(file, "/", 3)
	if parts[0] != "arch" || len(parts) < 3 || parts[1] == arch {
		return "", false
	}
	return parts[1], true
}

// unbuilt says whether a file is in no object, and why.
func (t *Tree) unbuilt(file string) (why string, symbols []string, yes bool) {
	if path.Ext(file) == ".h" {
		return "no file that is compiled includes it", nil, t.Sources != nil && !t.Sources[file]
	}
	conds, ruled := t.rules(file)
	if missing := t.unmet(conds); len(missing) > 0 {
		return "not built", missing, true
	}
	if t.Sources == nil || t.Sources[file] {
		return "", nil, false
	}
	if !ruled {
		return "not built: no makefile of its folder names it", nil, true
	}
	return "not built", nil, true
}

// unmet are those of conds that the configuration does not meet, in words.
func (t *Tree) unmet(conds []cond) []string {
	var all []string
	for _, k := range conds {
		value := t.Config.Value(k.symbol)
		said := ""
		switch {
		case k.set && value == "n":
			said = "CONFIG_" + k.symbol + " is not set"
		case k.set && k.builtin && value == "m" && !t.Modules:
			said = "CONFIG_" + k.symbol + "=m, and modules are not built"
		case !k.set && value != "n":
			said = "CONFIG_" + k.symbol + "=" + value
		}
		if said != "" && !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	return all
}

// A cond is what a symbol has to be for something to be compiled.
type cond struct {
	symbol  string // without CONFIG_
	set     bool
	builtin bool // "m" does not do
}
