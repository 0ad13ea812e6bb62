package patch

import (
	"regexp"
	"slices"

	"github.com/runvm/runvm/kernel/patch/mail"
)

// maxHops bounds the way up a thread, which a stranger may have made a circle.
const maxHops = 64

// group sorts patches by the version and the thread they belong to.
func (g *gatherer) group() []*group {
	byID := map[string]mail.Mail{}
	for _, m := range slices.Concat(g.covers, g.patches) {
		if m.ID != "" {
			byID[m.ID] = m
		}
	}
	var groups []*group
	for _, m := range g.patches {
		one := &group{rank: m.Tag.Rank(), version: m.Tag.Version, total: m.Tag.Total, root: root(m, byID), patches: []mail.Mail{m}}
		i := slices.IndexFunc(groups, func(other *group) bool { return together(other, one) })
		if i < 0 {
			groups = append(groups, one)
			continue
		}
		groups[i].patches = append(groups[i].patches, m)
	}
	for _, c := range g.covers {
		for _, to := range groups {
			if to.cover == nil && to.rank == c.Tag.Rank() && to.total == c.Tag.Total && introduces(c, to, byID) {
				to.cover = &c
				break
			}
		}
	}
	return groups
}

// root returns the id of the mail at which m's thread starts; "" where mails
// have no ids.
func root(m mail.Mail, byID map[string]mail.Mail) string {
	for range maxHops {
		if len(m.Parents) == 0 {
			break
		}
		parent, here := byID[m.Parents[0]]
		if !here {
			return m.Parents[0] // a cover letter that is not at hand
		}
		m = parent
	}
	return m.ID
}

// together says that one belongs to group. The mails of a series that were
// sent each in answer to something else have their sender in common.
func together(group, one *group) bool {
	if group.total == 0 || group.rank != one.rank || group.total != one.total {
		return false
	}
	sender := func(m mail.Mail) bool { return m.From == one.patches[0].From }
	return group.root == one.root || slices.ContainsFunc(group.patches, sender) && !clashes(group, one)
}

// clashes says that a and b have different patches of the same number.
func clashes(a, b *group) bool {
	for _, p := range a.patches {
		for _, q := range b.patches {
			if p.Tag.Number == q.Tag.Number && !p.Same(&q) {
				return true
			}
		}
	}
	return false
}

// introduces says that c is the cover letter of a group.
func introduces(c mail.Mail, of *group, byID map[string]mail.Mail) bool {
	if root(c, byID) == of.root || c.ID == of.root {
		return true
	}
	return of.patches[0].ID == "" || c.ID == ""
}

var changeID = regexp.MustCompile(`(?m)^change-id: (\S+)\r?$`)

// related says that two groups are versions of one series: they have a title,
// a change-id (of b4) or a thread in common.
func related(a, b *group) bool {
	marks := map[string]bool{}
	for _, m := range a.all() {
		for _, mark := range marksOf(m) {
			marks[mark] = true
		}
	}
	for _, m := range b.all() {
		if slices.ContainsFunc(marksOf(m), func(mark string) bool { return marks[mark] }) {
			return true
		}
	}
	return false
}

// marksOf returns what other versions of a mail share with it.
func marksOf(m mail.Mail) []string {
	var marks []string
	if m.Title != "" {
		marks = append(marks, "title "+m.Title)
	}
	if m.ID != "" {
		marks = append(marks, "id "+m.ID)
	}
	for _, id := range m.Parents {
		marks = append(marks, "id "+id)
	}
	if found := changeID.FindSubmatch(m.Text); found != nil {
		marks = append(marks, "change "+string(found[1]))
	}
	return marks
}

// answers says that a was sent into the thread of b.
func answers(a, b *group) bool {
	for _, m := range b.all() {
		for _, p := range a.patches {
			if m.ID != "" && slices.Contains(p.Parents, m.ID) {
				return true
			}
		}
	}
	return false
}

var (
	trailerLine = regexp.MustCompile(`(?m)^([A-Z][A-Za-z]*(?:-[A-Za-z]+)*-by): +(\S.*)$`)
	baseLine    = regexp.MustCompile(`(?m)^base-commit: ([0-9a-f]{40}|[0-9a-f]{64})\r?$`)
	needsLine   = regexp.MustCompile(`(?m)^prerequisite-patch-id: ([0-9a-f]{40})\r?$`)
)

// maxTrailers bounds what is kept; a series of the lists has some hundreds.
const maxTrailers = 2000

// trailers returns what answers to the mails of a group gave to them, at most
// maxTrailers. Quoted lines give nothing.
func trailers(answers []mail.Mail, to *group) []Trailer {
	up := map[string][]string{}
	for _, m := range answers {
		up[m.ID] = m.Parents
	}
	number := map[string]int{}
	for _, m := range to.all() {
		number[m.ID] = m.Tag.Number
	}
	delete(number, "")
	var all []Trailer
	seen := map[Trailer]bool{}
	for _, m := range answers {
		n, ok := target(m.Parents, up, number)
		if !ok {
			continue
		}
		for _, found := range trailerLine.FindAllStringSubmatch(m.Message(), maxTrailers) {
			t := Trailer{Key: found[1], Value: mail.Printable(found[2]), From: m.From, Number: n}
			if !seen[t] && len(all) < maxTrailers {
				seen[t] = true
				all = append(all, t)
			}
		}
	}
	return all
}

// target returns the number of the patch that an answer is about.
func target(parents []string, up map[string][]string, number map[string]int) (n int, ok bool) {
	for range maxHops {
		if len(parents) == 0 {
			return 0, false
		}
		if n, ok := number[parents[0]]; ok {
			return n, true
		}
		next, ok := up[parents[0]]
		if !ok {
			next = parents[1:] // an answer that is not at hand
		}
		parents = next
	}
	return 0, false
}

// describe takes what the mails say of the whole series.
func (s *Series) describe() {
	s.Title = s.Patches[0].Subject
	var texts [][]byte
	if s.cover != nil {
		s.Title = s.cover.Title
		texts = append(texts, s.cover.Text)
	}
	for _, p := range s.Patches {
		texts = append(texts, p.raw)
	}
	for _, text := range texts {
		if found := baseLine.FindSubmatch(text); found != nil && s.BaseCommit == "" {
			s.BaseCommit = string(found[1])
		}
		for _, found := range needsLine.FindAllSubmatch(text, MaxPatches) {
			if id := string(found[1]); !slices.Contains(s.Needs, id) {
				s.Needs = append(s.Needs, id)
			}
		}
	}
}
