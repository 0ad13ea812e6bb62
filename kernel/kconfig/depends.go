package kconfig

import (
	"bufio"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Bounds of a tree's Kconfig files; Linux has 1700 of them, 8 deep.
const (
	maxFiles = 10_000
	maxDepth = 64
	maxTotal = 64 << 20 // bytes of all files; Linux has 6 MiB
	maxExpr  = 4 << 10
)

var errBounds = errors.New("read Kconfig files: too many, too long or too deep")

// Depends reads the Kconfig files of a kernel tree, from its top, for the
// architecture srcarch ("x86"). The map has an element for every symbol that
// some file defines: what it depends on, in Kconfig's own words, "" when that
// is nothing.
func Depends(tree fs.FS, srcarch string) (map[string]string, error) {
	r := &reader{tree: tree, srcarch: srcarch, depends: map[string]string{}}
	err := r.file("Kconfig", 0)
	return r.depends, err
}

// Symbols returns the names of the symbols in an expression of Kconfig, each
// once.
func Symbols(expr string) []string {
	var names []string
	seen := map[string]bool{}
	for _, name := range word.FindAllString(expr, -1) {
		if !seen[name] && name != "y" && name != "n" && name != "m" {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// nobody stands for a comment, whose conditions are no symbol's.
const nobody = "#"

var word = regexp.MustCompile(`\b[A-Za-z0-9_]+\b`)

type reader struct {
	tree    fs.FS
	srcarch string
	depends map[string]string
	files   int
	bytes   int64

	blocks []block // the ifs, menus and choices around the current line
	symbol string  // whose definition the current line is part of, or ""
	own    []string
}

// A block is an if, menu or choice: what all within it depends on.
type block struct {
	kind string
	on   []string
}

// file reads one Kconfig file and those that it sources. A file that is not
// there is what other architectures, or a broken tree, leave behind: the
// symbols it would define are unknown, which is what callers report.
func (r *reader) file(name string, depth int) error {
	if r.files++; r.files > maxFiles || depth > maxDepth {
		return errBounds
	}
	f, err := r.tree.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if r.bytes += info.Size(); r.bytes > maxTotal {
		return errBounds
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, maxLine)
	help := helpText{indent: -1}
	line := ""
	for sc.Scan() {
		if help.holds(sc.Text()) {
			continue
		}
		if line += strings.TrimSpace(sc.Text()); len(line) > maxLine {
			return errBounds
		}
		if rest, more := strings.CutSuffix(line, "\\"); more {
			line = rest
			continue
		}
		if err := r.line(line, depth); err != nil {
			return err
		}
		help.start(line)
		line = ""
	}
	r.endSymbol()
	return sc.Err()
}

// helpText is prose, which must not be read as language.
type helpText struct {
	in     bool
	indent int // of its first line; -1 before that
}

func (h *helpText) start(line string) {
	if line == "help" || line == "---help---" {
		*h = helpText{in: true, indent: -1}
	}
}

// holds tells whether the line still belongs to the help text.
func (h *helpText) holds(raw string) bool {
	if !h.in || strings.TrimSpace(raw) == "" {
		return h.in
	}
	indent := indentation(raw)
	if h.indent < 0 {
		h.indent = indent
	}
	h.in = indent >= h.indent && indent > 0
	return h.in
}

func indentation(line string) int {
	n := 0
	for _, c := range line {
		switch c {
		case '\t':
			n += 8 - n%8
		case ' ':
			n++
		default:
			return n
		}
	}
	return n
}

// line takes in one statement.
func (r *reader) line(line string, depth int) error {
	keyword, rest, _ := strings.Cut(line, " ")
	if i := strings.IndexByte(keyword, '\t'); i >= 0 {
		keyword, rest = line[:i], line[i+1:]
	}
	rest = strings.TrimSpace(rest)
	switch keyword {
	case "config", "menuconfig":
		r.endSymbol()
		r.symbol = rest
	case "if", "menu", "choice":
		r.endSymbol()
		b := block{kind: keyword}
		if keyword == "if" {
			b.on = []string{rest}
		}
		if r.blocks = append(r.blocks, b); len(r.blocks) > maxDepth {
			return errBounds
		}
	case "endif", "endmenu", "endchoice":
		r.endSymbol()
		if n := len(r.blocks); n > 0 {
			r.blocks = r.blocks[:n-1]
		}
	case "depends":
		r.dependsOn(strings.TrimSpace(strings.TrimPrefix(rest, "on")))
	case "comment":
		r.endSymbol()
		r.symbol = nobody
	case "source", "rsource", "osource":
		r.endSymbol()
		return r.file(r.sourced(rest), depth+1)
	}
	return nil
}

// sourced is the path in a source statement.
func (r *reader) sourced(quoted string) string {
	name := strings.Trim(quoted, `"`)
	name = strings.NewReplacer("$(SRCARCH)", r.srcarch, "$SRCARCH", r.srcarch, "$(HEADER_ARCH)", r.srcarch).Replace(name)
	return path.Clean(name)
}

// dependsOn adds a condition to the symbol being defined or, straight after
// its head, to a menu or choice.
func (r *reader) dependsOn(expr string) {
	expr, _, _ = strings.Cut(expr, "#")
	if expr = strings.TrimSpace(expr); len(expr) > maxExpr {
		return
	}
	if r.symbol != "" && len(r.own) < maxDepth {
		r.own = append(r.own, expr)
		return
	}
	if n := len(r.blocks); n > 0 && r.blocks[n-1].kind != "if" && len(r.blocks[n-1].on) == 0 {
		r.blocks[n-1].on = append(r.blocks[n-1].on, expr)
	}
}

// endSymbol stores what the symbol just defined depends on. Of a symbol that
// is defined more than once, each definition is a way in.
func (r *reader) endSymbol() {
	defer func() { r.symbol, r.own = "", nil }()
	if r.symbol == "" || r.symbol == nobody {
		return
	}
	var all []string
	for _, b := range r.blocks {
		all = append(all, b.on...)
	}
	expr := conjunction(append(all, r.own...))
	before, ok := r.depends[r.symbol]
	switch {
	case !ok:
	case before == "" || expr == "":
		expr = ""
	case before != expr && len(before) < maxExpr:
		expr = "(" + before + ") || (" + expr + ")"
	default:
		expr = before
	}
	r.depends[r.symbol] = expr
}

func conjunction(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	for i, t := range terms {
		if strings.Contains(t, "||") {
			terms[i] = "(" + t + ")"
		}
	}
	return strings.Join(terms, " && ")
}
