package console

import (
	"regexp/syntax"
	"strings"
)

// A skeleton is what is left of a regular expression when all that may vary is
// taken out: the literals that whatever it matches holds, in their order. To
// look for them costs a tenth of the match, and most lines that look like an
// opener lack one.
type skeleton struct {
	word string
	// parts follow one another, or are alternatives; a word has none.
	parts       []skeleton
	alternative bool
}

// skeletonOf takes expr apart; what does not compile has no literals.
func skeletonOf(expr string) skeleton {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return skeleton{}
	}
	return bones(parsed.Simplify())
}

func bones(e *syntax.Regexp) skeleton {
	switch e.Op {
	case syntax.OpLiteral:
		if e.Flags&syntax.FoldCase == 0 {
			return skeleton{word: string(e.Rune)}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return bones(e.Sub[0])
	case syntax.OpConcat, syntax.OpAlternate:
		s := skeleton{alternative: e.Op == syntax.OpAlternate}
		for _, sub := range e.Sub {
			part := bones(sub)
			if part.word == "" && part.parts == nil {
				if s.alternative {
					return skeleton{} // it may be this one
				}
				continue
			}
			s.parts = append(s.parts, part)
		}
		return s
	}
	return skeleton{}
}

// end is where in text the skeleton ends at the earliest, -1 when text does
// not hold it.
func (s *skeleton) end(text string) int {
	if s.alternative {
		first := -1
		for i := range s.parts {
			if end := s.parts[i].end(text); end >= 0 && (first < 0 || end < first) {
				first = end
			}
		}
		return first
	}
	at := 0
	if s.word != "" {
		if at = strings.Index(text, s.word); at < 0 {
			return -1
		}
		at += len(s.word)
	}
	for i := range s.parts {
		end := s.parts[i].end(text[at:])
		if end < 0 {
			return -1
		}
		at += end
	}
	return at
}

// pairs are a set of two bytes that follow one another: bit 37·a+b, modulo the
// bits there are. Most rules are refused by it without a look at the text.
type pairs [8]uint64

func (p *pairs) add(text string) {
	for i := 1; i < len(text); i++ {
		bit := (uint(text[i-1])*37 + uint(text[i])) % (64 * uint(len(p)))
		p[bit/64] |= 1 << (bit % 64)
	}
}

// hold says that all of other are in p.
func (p *pairs) hold(other *pairs) bool {
	for i := range p {
		if other[i]&^p[i] != 0 {
			return false
		}
	}
	return true
}

// pairs are those in every text that holds the skeleton.
func (s *skeleton) pairs() pairs {
	var all pairs
	all.add(s.word)
	for i := range s.parts {
		part := s.parts[i].pairs()
		for n := range all {
			switch {
			case !s.alternative:
				all[n] |= part[n]
			case i == 0:
				all[n] = part[n]
			default:
				all[n] &= part[n]
			}
		}
	}
	return all
}
