package patch

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runvm/runvm/kernel/patch/mail"
)

// gather finds the series in mails: the patches of its newest version, in
// order, without what was said of them.
func gather(mails []mail.Mail, kind mail.Kind) (*Series, error) {
	if len(mails) == 0 {
		return nil, fmt.Errorf("%w: no patch in it", ErrRefused)
	}
	if len(mails) == 1 {
		return single(mails[0])
	}
	g := sortMails(mails, kind)
	if len(g.patches) == 0 {
		return nil, g.nothing(mails)
	}
	chosen, err := g.choose()
	if err != nil {
		return nil, err
	}
	s := &Series{Version: chosen.version, Total: chosen.total, cover: chosen.cover}
	if s.Patches, err = parseAll(chosen.patches); err != nil {
		return nil, err
	}
	if chosen.total > 0 {
		s.Missing = chosen.missing()
	}
	s.describe()
	s.Trailers = trailers(g.answers, chosen)
	s.Notes = g.notes
	return s, nil
}

// single is the series of one mail, whatever place in a series it claims: the
// user has named this one.
func single(m mail.Mail) (*Series, error) {
	p, err := parse(m)
	if err != nil {
		return nil, err
	}
	s := &Series{Version: m.Tag.Version, Patches: []Patch{p}}
	s.describe()
	if m.Tag.Total > 1 {
		s.Notes = append(s.Notes, fmt.Sprintf("%d/%d of a series, by itself", m.Tag.Number, m.Tag.Total))
	}
	return s, nil
}

// A gatherer is on its way from mails to a series.
type gatherer struct {
	kind    mail.Kind
	patches []mail.Mail
	covers  []mail.Mail
	answers []mail.Mail
	notes   []string
}

// maxNamed bounds the mails that one note names.
const maxNamed = 5

func (g *gatherer) note(format string, args ...any) {
	g.notes = append(g.notes, fmt.Sprintf(format, args...))
}

// noteMails names mails behind text, if there are some.
func (g *gatherer) noteMails(text string, mails []mail.Mail) {
	if len(mails) == 0 {
		return
	}
	var names []string
	for _, m := range mails[:min(len(mails), maxNamed)] {
		names = append(names, m.Name)
	}
	if len(mails) > maxNamed {
		names = append(names, fmt.Sprintf("%d more", len(mails)-maxNamed))
	}
	g.note("%s: %s", text, strings.Join(names, ", "))
}

// sortMails tells patches from what was said of them.
func sortMails(mails []mail.Mail, kind mail.Kind) *gatherer {
	g := &gatherer{kind: kind}
	var talk, remarks []mail.Mail
	for _, m := range mails {
		switch {
		case m.Tag.Reply:
			g.answers = append(g.answers, m)
			if m.HasDiff() {
				remarks = append(remarks, m)
			}
		case m.HasDiff() || m.Tag.Number > 0 || kind == mail.Folder && mustBePatch(m):
			g.patches = append(g.patches, m)
		case m.Tag.Cover():
			g.covers = append(g.covers, m)
		default:
			talk = append(talk, m)
		}
	}
	if len(g.patches) == 0 && len(remarks) > 0 {
		// Some send patches as answers; where there is nothing else, it is
		// those that were meant.
		g.patches, remarks = remarks, nil
		g.note("all patches are answers to other mails")
	}
	g.noteMails("no patch, left out", talk)
	g.noteMails("a diff in an answer, left out", remarks)
	return g
}

// mustBePatch says that a file without a diff is no mere note: its name
// promises a patch.
func mustBePatch(m mail.Mail) bool {
	ext := filepath.Ext(m.Name)
	return (ext == ".patch" || ext == ".diff") && !strings.HasPrefix(m.Name, "0000-") && !m.Tag.Cover()
}

// nothing is the error of mails without a patch.
func (g *gatherer) nothing(mails []mail.Mail) error {
	for _, m := range mails {
		if m.Flaw != "" {
			return fmt.Errorf("%s: %w: %s", m.Name, ErrRefused, m.Flaw)
		}
	}
	return fmt.Errorf("%w: no patch in it", ErrRefused)
}

// A group is one version of one series.
type group struct {
	rank, version, total int
	root                 string // id of the mail its thread starts at
	patches              []mail.Mail
	cover                *mail.Mail
}

// title names the group to the user.
func (g *group) title() string {
	title := g.patches[0].Title
	if g.cover != nil {
		title = g.cover.Title
	}
	return fmt.Sprintf("%q (v%d, %d of %d patches)", title, g.version, len(g.patches), max(g.total, len(g.patches)))
}

// all are the mails of the group, its cover letter first.
func (g *group) all() []mail.Mail {
	if g.cover == nil {
		return g.patches
	}
	return append([]mail.Mail{*g.cover}, g.patches...)
}

// missing returns the numbers that the group lacks.
func (g *group) missing() []int {
	var lost []int
	for n := 1; n <= g.total; n++ {
		if !slices.ContainsFunc(g.patches, func(m mail.Mail) bool { return m.Tag.Number == n }) {
			lost = append(lost, n)
		}
	}
	return lost
}

// choose returns the newest version in order of its numbers.
func (g *gatherer) choose() (*group, error) {
	numbered := slices.ContainsFunc(g.patches, func(m mail.Mail) bool { return m.Tag.Total > 0 })
	if !numbered {
		return g.loose(), nil
	}
	groups := g.group()
	if g.kind == mail.Folder && queue(groups) {
		g.note("not the numbers of one series: applied in the order of the file names")
		return &group{version: 1, patches: g.patches}, nil
	}
	newest, err := g.newest(groups)
	if err != nil {
		return nil, err
	}
	if newest.total > MaxPatches {
		return nil, fmt.Errorf("%w: it says that it has %d patches, more than %d", ErrRefused, newest.total, MaxPatches)
	}
	return newest, g.order(newest)
}

// queue says that files of a folder are no versions of a series but patches
// that somebody keeps together.
func queue(groups []*group) bool {
	for _, other := range groups[1:] {
		if other.rank != groups[0].rank {
			return false
		}
	}
	return len(groups) > 1 || clashes(groups[0], groups[0])
}

// loose is the series of patches without numbers: in the order in which they
// were found, of each title the newest version.
func (g *gatherer) loose() *group {
	newest := &group{version: 1}
	var older, twice []mail.Mail
	for i, m := range g.patches {
		old, same := false, false
		for j, n := range g.patches {
			old = old || n.Tag.Rank() > m.Tag.Rank() && (n.Title == m.Title || m.ID != "" && slices.Contains(n.Parents, m.ID))
			same = same || j < i && n.Tag.Rank() == m.Tag.Rank() && n.Same(&m)
		}
		switch {
		case old:
			older = append(older, m)
		case same:
			twice = append(twice, m)
		default:
			newest.patches = append(newest.patches, m)
			newest.version = max(newest.version, m.Tag.Version)
		}
	}
	g.noteMails(fmt.Sprintf("%s v%d, left out", olderNote, newest.version), older)
	g.noteMails("come twice, left out", twice)
	return newest
}

// olderNote begins the note of a version that was not taken.
const olderNote = "older than"

// newest returns the one group that all others are older versions of.
func (g *gatherer) newest(groups []*group) (*group, error) {
	newest := slices.MaxFunc(groups, func(a, b *group) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return min(a.total, 1) - min(b.total, 1) // numbered ones first
	})
	for _, other := range groups {
		switch {
		case other == newest:
		case other.total == 0 && answers(other, newest):
			g.noteMails("a patch in answer to the series, left out", other.patches)
		case other.rank < newest.rank && related(newest, other):
			g.note("%s v%d, left out: v%d with %d patches", olderNote, newest.version, other.version, len(other.patches))
		default:
			return nil, fmt.Errorf("%w: more than one series: %s and %s; name one mail thread", ErrRefused, newest.title(), other.title())
		}
	}
	return newest, nil
}

// order sorts the patches of a group by their numbers.
func (g *gatherer) order(of *group) error {
	byNumber := func(a, b mail.Mail) int { return a.Tag.Number - b.Tag.Number }
	if !slices.IsSortedFunc(of.patches, byNumber) {
		g.note("not in order: sorted by number")
	}
	slices.SortStableFunc(of.patches, byNumber)
	var once, twice []mail.Mail
	for _, m := range of.patches {
		if len(once) == 0 || once[len(once)-1].Tag.Number != m.Tag.Number {
			once = append(once, m)
			continue
		}
		if last := once[len(once)-1]; !last.Same(&m) {
			return fmt.Errorf("%w: %d/%d comes twice and differs: %s and %s", ErrRefused, m.Tag.Number, m.Tag.Total, last.Name, m.Name)
		}
		twice = append(twice, m)
	}
	g.noteMails("come twice, left out", twice)
	of.patches = once
	if last := once[len(once)-1].Tag.Number; last > of.total {
		g.note("number %d in a series of %d", last, of.total)
	}
	return nil
}
