package patch

import (
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Moved says that a line the patch adds stood elsewhere before: the patch
// removes one with the same words. line is of file as the patch leaves it.
func (p *Patch) Moved(file string, line int) bool {
	text, ok := p.added(file, line)
	if !ok || text == "" {
		return false
	}
	for _, f := range p.diffs {
		for _, h := range f.TextFragments {
			for _, l := range h.Lines {
				if l.Op == gitdiff.OpDelete && words(l.Line) == text {
					return true
				}
			}
		}
	}
	return false
}

// added returns the words of a line that the patch adds.
func (p *Patch) added(file string, line int) (string, bool) {
	for _, f := range p.diffs {
		if f.NewName != file {
			continue
		}
		for _, h := range f.TextFragments {
			at := int(h.NewPosition)
			for _, l := range h.Lines {
				if l.Op == gitdiff.OpDelete {
					continue
				}
				if at == line {
					return words(l.Line), l.Op == gitdiff.OpAdd
				}
				at++
			}
		}
	}
	return "", false
}

// words is a line without its indentation.
func words(line string) string { return strings.Join(strings.Fields(line), " ") }
