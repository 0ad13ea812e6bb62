package console

import (
	"regexp"
	"strings"
	"sync"
)

// A rule knows one complaint: how its first line looks and how it is titled.
type rule struct {
	// opener is matched against the line's text.
	opener *regexp.Regexp
	// bones are opener's literals, pairs those that none of its matches lacks.
	bones skeleton
	pairs pairs
	kind  Kind
	fault Fault
	// title may hold $1 (a group of opener) and %F (the guilty function).
	title string
	// describe, when set, replaces kind and title by what the report tells.
	describe func(m []string, rows []row) (Kind, string)
	place    place
	// skip names functions, besides the usual ones, that are not guilty: a part
	// of a name, "^" for its start, "$" for its end.
	skip []string
	// follows: inside of another report it belongs to that report.
	follows bool
	// aftermath: after another report it tells nothing new.
	aftermath bool
	// proof: text that programs print too; it counts only with a kernel's
	// report under it.
	proof bool
	// kernels: with a time stamp it is the kernel's own, and needs no proof.
	kernels bool
	// stampedOnly: without a time stamp it is not believed.
	stampedOnly bool
	// stackless: the report has no stack, and is not damaged without one.
	stackless bool
}

// A place is where the guilty function of a report is looked for.
type place int

const (
	nowhere     place = iota // the title names no function
	inStack                  // in the first stack
	inHeader                 // in the opener, then in the first stack
	inPointer                // at the instruction pointer, then in the stack after it
	onlyPointer              // at the instruction pointer and nowhere else
	inBare                   // in the stack right under the opener
	inLock                   // where the lock in question was taken, then in the first stack
	inBecame                 // where lockdep learned that interrupts take the lock
	inStall                  // what the stalled CPU was asked to do
	inHung                   // what the hung task waits in
	inOwner                  // where the page was allocated if that is known, else in the first stack
)

// ruleset is compiled when the first log is read.
var ruleset = sync.OnceValue(func() []rule {
	var all []rule
	for _, family := range [][]rule{
		sanitizerRules(), faultRules(), bugRules(), structureRules(), warningRules(),
		lockRules(), hangRules(), panicRules(),
	} {
		all = append(all, family...)
	}
	for i := range all {
		all[i].bones = skeletonOf(all[i].opener.String())
		all[i].pairs = all[i].bones.pairs()
	}
	return all
})

func re(expr string) *regexp.Regexp { return regexp.MustCompile(expr) }

// open returns the rule whose opener l is, and the groups it matched.
func (r *reader) open(l line) (*rule, []string) {
	if len(l.text) < minOpener {
		return nil, nil
	}
	if r.opened.n != l.n { // the line that ended a report is asked for twice
		r.opened.rule, r.opened.match = r.match(l)
		r.opened.n = l.n
	}
	return r.opened.rule, r.opened.match
}

// minOpener is the length of the shortest opener, "BUG:" with what is lost
// after it left out, in bytes.
const minOpener = 4

// notice says that text, although it looks like an opener, complains of
// nothing. lockdep's stands in lists of held locks, those of reports too, once
// it has complained; the other one is of a machine that is slow, and comes when
// CPUs are asked for their stacks.
func notice(text string) bool {
	return text == "INFO: lockdep is turned off." || strings.HasPrefix(text, "INFO: NMI handler (")
}

func (r *reader) match(l line) (*rule, []string) {
	text := string(l.text)
	if notice(text) {
		return nil, nil
	}
	var seen pairs
	seen.add(text)
	for i := range r.rules {
		rule := &r.rules[i]
		if !seen.hold(&rule.pairs) || rule.bones.end(text) < 0 {
			continue
		}
		if m := rule.opener.FindStringSubmatch(text); m != nil {
			return rule, m
		}
	}
	return nil, nil
}

// expand fills $1 to $9 of a title with what the opener matched.
func expand(title string, m []string) string {
	for i := min(len(m)-1, 9); i > 0; i-- {
		title = strings.ReplaceAll(title, "$"+string(rune('0'+i)), m[i])
	}
	return title
}
