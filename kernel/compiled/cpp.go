package compiled

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/runvm/runvm/kernel/kconfig"
)

// A region are lines that are left out.
type region struct {
	Range
	why     string // "inside #ifdef CONFIG_X"
	symbols []cond
}

// The bounds of what is looked at for an if.
const (
	maxIfs   = 2000     // of one file
	maxBlock = 64 << 10 // bytes of a statement

	maxRegions = 10_000 // of the preprocessor
)

// regions returns the lines of a blanked C file that are left out for sure: by the
// preprocessor, and by an if whose condition the compiler knows to be false.
func regions(plain []byte, c kconfig.DotConfig) []region {
	return append(directives(plain, c), branches(plain, c)...)
}

// blank returns text with comments and the insides of literals as blanks, its
// lines where they were.
func blank(text []byte) []byte {
	out := slices.Clone(text)
	wipe := func(from, to int) {
		for i := from; i < min(to, len(out)); i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	for i := 0; i < len(out); i++ {
		switch {
		case bytes.HasPrefix(text[i:], []byte("/*")):
			end := bytes.Index(text[i+2:], []byte("*/"))
			to := len(text)
			if end >= 0 {
				to = i + 2 + end + 2
			}
			wipe(i, to)
			i = to - 1
		case bytes.HasPrefix(text[i:], []byte("//")):
			end := bytes.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			wipe(i, i+end)
			i += end - 1
		case text[i] == '"' || text[i] == '\'':
			to := literal(text, i)
			wipe(i+1, to)
			i = to
		}
	}
	return out
}

// literal returns where the string or character that starts at i ends: at its
// quote, or at the end of the line.
func literal(text []byte, i int) int {
	for j := i + 1; j < len(text); j++ {
		switch text[j] {
		case '\\':
			j++
		case text[i], '\n':
			return j
		}
	}
	return len(text)
}

var directive = regexp.MustCompile(`^\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b(.*)$`)

// A branch is a conditional of the preprocessor that is open.
type branch struct {
	state truth  // of the part that is open
	taken truth  // whether one of its parts is compiled
	why   string // of the part, where state is no
	conds []cond
	start int    // first line of the part
	head  string // of its first part: "#ifdef CONFIG_X"
	first []cond // what decided which of its parts is taken
}

// directives returns what the preprocessor leaves out.
func directives(text []byte, c kconfig.DotConfig) []region {
	var found []region
	var open []branch
	number := 0
	for line := range bytes.Lines(text) {
		number++
		m := directive.FindSubmatch(bytes.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		word, rest := string(m[1]), strings.TrimSpace(string(m[2]))
		if n := len(open); n > 0 && (word == "elif" || word == "else" || word == "endif") {
			if b := open[n-1]; b.state == no && b.start < number && len(found) < maxRegions {
				found = append(found, region{Range{b.start, number - 1}, b.why, b.conds})
			}
		}
		open = follow(open, word, rest, number, c)
		if len(open) > maxNested {
			return nil
		}
	}
	return found
}

// follow takes one directive in.
func follow(open []branch, word, rest string, number int, c kconfig.DotConfig) []branch {
	n := len(open)
	if strings.HasSuffix(rest, "\\") {
		rest = "?" // goes on in the next line: not worked out
	}
	switch word {
	case "ifdef", "ifndef", "if":
		state, conds := condition(word, rest, c)
		head := "#" + word + " " + rest
		return append(open, branch{state: state, taken: state, why: "inside " + head, conds: conds, start: number + 1, head: head, first: conds})
	case "elif":
		if n > 0 {
			open[n-1].elif(rest, number, c)
		}
	case "else":
		if n > 0 {
			b := &open[n-1]
			b.state, b.start, b.why, b.conds = b.taken.not(), number+1, "in the #else of "+b.head, b.first
		}
	case "endif":
		return open[:max(0, n-1)]
	}
	return open
}

// elif opens the next part of a conditional.
func (b *branch) elif(rest string, number int, c kconfig.DotConfig) {
	state, conds := condition("if", rest, c)
	b.start = number + 1
	switch {
	case b.taken == yes:
		b.state, b.why, b.conds = no, "in the #elif of "+b.head, b.first
	case state == no:
		b.state, b.why, b.conds = no, "inside #elif "+rest, conds
	case b.taken == no:
		b.state = state
	default:
		b.state = unknown
	}
	switch {
	case b.taken == yes, b.taken == unknown && state != yes:
	case state == yes:
		b.taken, b.first = yes, conds
	default:
		b.taken = state
	}
}

func condition(word, rest string, c kconfig.DotConfig) (truth, []cond) {
	name, _, _ := strings.Cut(rest, " ")
	switch word {
	case "ifdef":
		return evaluate("defined("+name+")", c)
	case "ifndef":
		return evaluate("!defined("+name+")", c)
	}
	return evaluate(rest, c)
}

// ifHead finds an if whose condition may be known: if (IS_ENABLED(CONFIG_X)).
var ifHead = regexp.MustCompile(`\bif\s*\(`)

// branches returns the blocks of an if that the compiler drops.
func branches(text []byte, c kconfig.DotConfig) []region {
	var found []region
	lines := newLines(text)
	looked := 0
	for _, at := range ifHead.FindAllIndex(text, -1) {
		open := at[1] - 1
		end := matching(text[:min(len(text), open+maxExpr)], open, '(', ')')
		if end < 0 {
			continue
		}
		cond := string(text[open : end+1])
		if !strings.Contains(cond, "CONFIG_") {
			continue
		}
		if looked++; looked > maxIfs {
			break
		}
		state, conds := evaluate(cond, c)
		why := "inside if " + strings.Join(strings.Fields(cond), " ")
		from, to := block(text, end+1)
		if state == yes {
			// what follows an else is dropped then
			rest := bytes.TrimLeft(text[min(to+1, len(text)):], " \t\n")
			if !bytes.HasPrefix(rest, []byte("else")) {
				continue
			}
			why = "in the else of if " + strings.Join(strings.Fields(cond), " ")
			from, to = block(text, len(text)-len(rest)+len("else"))
		}
		if state == unknown || from < 0 {
			continue
		}
		first, last := lines.of(from), lines.of(to)
		if text[from] == '{' {
			first, last = first+1, last-1
		}
		if first <= last {
			found = append(found, region{Range{first, last}, why, conds})
		}
	}
	return found
}

// block returns the first and the last byte of the statement behind at; -1
// when it does not end.
func block(text []byte, at int) (from, to int) {
	for at < len(text) && bytes.IndexByte([]byte(" \t\r\n"), text[at]) >= 0 {
		at++
	}
	if at >= len(text) {
		return -1, -1
	}
	if text[at] == '{' {
		if end := matching(text[:min(len(text), at+maxBlock)], at, '{', '}'); end >= 0 {
			return at, end
		}
		return -1, -1
	}
	if loc := ifHead.FindIndex(text[at:min(at+16, len(text))]); loc != nil && loc[0] == 0 {
		return -1, -1 // else if: looked at by itself
	}
	end := bytes.IndexByte(text[at:min(len(text), at+maxBlock)], ';')
	if end < 0 || bytes.IndexByte(text[at:at+end], '{') >= 0 {
		return -1, -1
	}
	return at, at + end
}

// matching returns where the bracket that opens at is closed, -1 when it is
// not.
func matching(text []byte, at int, opening, closing byte) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case opening:
			depth++
		case closing:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// lines are where the lines of a text end.
type lines []int

func newLines(text []byte) lines {
	var l lines
	for i, b := range text {
		if b == '\n' {
			l = append(l, i)
		}
	}
	return l
}

// of returns the number of the line that holds the byte at.
func (l lines) of(at int) int {
	i, _ := slices.BinarySearch(l, at)
	return i + 1
}
