package compiled

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// The bounds of the way through makefiles.
const (
	maxMakefile = 1 << 20 // bytes
	maxSteps    = 200     // rules looked at for one file
)

// obj-$(CONFIG_FUSE_FS) += fuse.o, fuse-y := dev.o, fuse-$(CONFIG_FUSE_DAX) += dax.o
var ruleLine = regexp.MustCompile(`^([A-Za-z0-9_.-]+)-(y|m|objs|objs-y|\$\(CONFIG_[A-Za-z0-9_]+\))\s*[:+]?=\s*(.*)$`)

// ifdef CONFIG_X, ifeq ($(CONFIG_X),y)
var ifLine = regexp.MustCompile(`^(?:ifdef\s+CONFIG_([A-Za-z0-9_]+)|ifeq\s*\(\s*\$\(CONFIG_([A-Za-z0-9_]+)\)\s*,\s*[ym]\s*\))`)

// A rule says that a makefile wants something under a condition.
type rule struct {
	list  string // "obj", "lib", or the name of a composite object
	conds []cond
	wants []string
}

// A makefile is what kbuild reads in a folder, as far as it says what is built.
type makefile []rule

// rules returns what has to be set for kbuild to make an object of file; known
// is false when no rule was found for it. Of several ways to it those conds
// are the first's that is open, else the first's.
func (t *Tree) rules(file string) (conds []cond, known bool) {
	w := &walk{tree: t, files: map[string]makefile{}}
	object := strings.TrimSuffix(path.Base(file), path.Ext(file)) + ".o"
	dir := path.Dir(file)
	own, ok := w.way(dir, object, 0)
	if !ok {
		return nil, false
	}
	above, _ := w.folder(dir)
	return append(own, above...), true
}

// A walk goes through the makefiles of a tree.
type walk struct {
	tree  *Tree
	files map[string]makefile
	steps int
}

// way finds how the makefile of dir comes to make object.
func (w *walk) way(dir, object string, depth int) ([]cond, bool) {
	var first []cond
	found := false
	for _, r := range w.makefile(dir) {
		if w.steps++; w.steps > maxSteps || depth > maxNested {
			break
		}
		if !slices.Contains(r.wants, object) {
			continue
		}
		conds, ok := slices.Clone(r.conds), true
		if r.list != "obj" && r.list != "lib" {
			// A part of a composite object, which something must want too.
			var more []cond
			more, ok = w.way(dir, r.list+".o", depth+1)
			conds = append(conds, more...)
		}
		if !ok {
			continue
		}
		if len(w.tree.unmet(conds)) == 0 {
			return conds, true
		}
		if !found {
			first, found = conds, true
		}
	}
	return first, found
}

// folder finds under what conditions kbuild goes into dir.
func (w *walk) folder(dir string) ([]cond, bool) {
	var all []cond
	known := false
	// A makefile may name a folder several levels below its own.
	for below, up := dir, path.Dir(dir); below != "." && below != "/"; {
		rel := strings.TrimPrefix(strings.TrimPrefix(below, up), "/") + "/"
		if up == "." {
			rel = below + "/"
		}
		if conds, ok := w.way(up, rel, 0); ok {
			all, known = append(all, conds...), true
			below = up
		}
		if up == "." || up == "/" {
			break
		}
		up = path.Dir(up)
	}
	return all, known
}

// makefile reads what kbuild reads in dir: Kbuild, else Makefile.
func (w *walk) makefile(dir string) makefile {
	if m, ok := w.files[dir]; ok {
		return m
	}
	var m makefile
	for _, name := range []string{"Kbuild", "Makefile"} {
		if text, ok := w.tree.Read(path.Join(dir, name)); ok {
			if len(text) <= maxMakefile {
				m = parseMakefile(string(text))
			}
			break
		}
	}
	w.files[dir] = m
	return m
}

func parseMakefile(text string) makefile {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var m makefile
	var around [][]cond // conditions of the ifdefs that are open
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "if"):
			if len(around) < maxNested {
				around = append(around, ifCond(line))
			}
		case line == "else" || strings.HasPrefix(line, "else "):
			if n := len(around); n > 0 {
				around[n-1] = nil // what holds here is not worked out
			}
		case line == "endif":
			around = around[:max(0, len(around)-1)]
		default:
			if r, ok := parseRule(line); ok {
				r.conds = append(r.conds, slices.Concat(around...)...)
				m = append(m, r)
			}
		}
	}
	return m
}

func ifCond(line string) []cond {
	found := ifLine.FindStringSubmatch(line)
	if found == nil {
		return nil
	}
	return []cond{{symbol: found[1] + found[2], set: true}}
}

func parseRule(line string) (rule, bool) {
	found := ruleLine.FindStringSubmatch(line)
	if found == nil {
		return rule{}, false
	}
	r := rule{list: found[1], wants: strings.Fields(found[3])}
	if name, ok := strings.CutPrefix(found[2], "$(CONFIG_"); ok {
		r.conds = []cond{{symbol: strings.TrimSuffix(name, ")"), set: true, builtin: true}}
	}
	if found[2] == "m" {
		return rule{}, false // a module whatever the configuration says
	}
	return r, true
}
