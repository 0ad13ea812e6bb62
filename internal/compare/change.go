package compare

import (
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"

	"github.com/runvm/runvm/internal/verdict"
)

// An Item is something that can be right or wrong in a run: a test, a program
// outside of its tests (Test is empty), the whole run (Program is empty too),
// or that the kernel complains with Title.
type Item struct {
	Program string `json:"program,omitempty"`
	Test    string `json:"test,omitempty"`
	Title   string `json:"title,omitempty"`
}

// A Tally is what the runs of one side say of an Item.
type Tally struct {
	Runs    int `json:"runs"`              // that tell whether it was right, skips apart
	Bad     int `json:"bad"`               // of these it was wrong in
	Skipped int `json:"skipped,omitempty"` // in which a test skipped itself
	// Verdict is the worst of the bad ones, empty without.
	Verdict verdict.Verdict `json:"verdict,omitempty"`
	// Reason and Dir are of the first bad run.
	Reason string `json:"reason,omitempty"`
	Dir    string `json:"dir,omitempty"`
}

func (t *Tally) always() bool { return t.Runs > 0 && t.Bad == t.Runs }
func (t *Tally) never() bool  { return t.Runs > 0 && t.Bad == 0 }

// A Change is an Item that differs between the sides, or is flaky on one.
type Change struct {
	Item
	Kind    Kind  `json:"kind"`
	Base    Tally `json:"base"`
	Patched Tally `json:"patched"`
	// P is the probability that the tallies differ so much by chance, one-sided.
	P          float64 `json:"p,omitempty"`
	Regression bool    `json:"regression,omitempty"`
}

// A Kind says in which way an Item changed.
type Kind string

// The kinds, in the order in which they are shown.
const (
	Failing    Kind = "newly failing"     // never wrong on the base
	Complaint  Kind = "new complaint"     // the same of a title
	Graver     Kind = "worse"             // failed before, now crashes or hangs
	MoreOften  Kind = "more often"        // flaky on the base, wrong more often now, beyond chance
	Flaky      Kind = "flaky"             // at least on one side; the difference may be chance
	Unskipped  Kind = "no longer skipped" // skipped on the base, now right
	Skipped    Kind = "newly skipped"     // right on the base
	OnlyOnBase Kind = "not run any more"  // has no result on the patched side
	OnlyNow    Kind = "only run now"      // has no result on the base
	Milder     Kind = "milder"            // crashed or hung before, now fails
	Rarer      Kind = "less often"
	Passing    Kind = "newly passing"
	Gone       Kind = "gone complaint"
)

func kinds() []Kind {
	return []Kind{Failing, Complaint, Graver, MoreOften, Flaky, Skipped, OnlyOnBase, OnlyNow, Unskipped, Milder, Rarer, Passing, Gone}
}

func (k Kind) order() int { return slices.Index(kinds(), k) }

func (k Kind) regression() bool { return k.order() <= MoreOften.order() }

// judge says how the item changed; "" is not at all. chance is 0 where it was
// not asked.
func (it *Item) judge(b, p Tally) (kind Kind, chance float64) {
	switch {
	case b.Runs == 0 || p.Runs == 0:
		return oneSided(b, p), 0
	case b.Bad == 0 && p.Bad == 0:
		return "", 0
	case b.Bad == 0:
		return it.name(Failing, Complaint), Fisher(b, p)
	case graver(b.Verdict, p.Verdict) && p.Bad > 0:
		return Graver, 0
	case b.always() && p.always():
		if graver(p.Verdict, b.Verdict) {
			return Milder, 0
		}
		return "", 0
	}
	worse, better := Fisher(b, p), Fisher(p, b)
	switch {
	case worse < Alpha:
		return MoreOften, worse
	case b.always() && p.never():
		return it.name(Passing, Gone), better
	case better < Alpha && p.never():
		return it.name(Passing, Gone), better
	case better < Alpha:
		return Rarer, better
	}
	return Flaky, min(worse, better)
}

// name picks the word for a test or a title.
func (it *Item) name(test, title Kind) Kind {
	if it.Title != "" {
		return title
	}
	return test
}

// oneSided is the kind of an item without result on at least one side.
func oneSided(b, p Tally) Kind {
	switch {
	case b.Runs == 0 && p.Runs == 0:
		return "" // skipped, or not run, on both
	case p.Runs == 0 && p.Skipped > 0:
		return Skipped
	case p.Runs == 0:
		return OnlyOnBase
	case b.Skipped > 0 && p.Bad == 0:
		return Unskipped
	}
	return OnlyNow
}

// graver tells whether b crashed or hung where a was something better.
func graver(a, b verdict.Verdict) bool {
	grave := b == verdict.Crash || b == verdict.Hang
	return grave && a != b && verdict.Worse(a, b) == b
}

// Fisher is the probability that b, or more than b, of so many bad runs fall
// to the runs of b when both sides are alike: Fisher's exact test, one-sided.
func Fisher(a, b Tally) float64 {
	d := stats.HypergeometicDist{N: a.Runs + b.Runs, K: a.Bad + b.Bad, Draws: b.Runs}
	p := 0.0
	for k := b.Bad; k <= min(d.K, d.Draws); k++ {
		p += d.PMF(float64(k))
	}
	return math.Min(p, 1)
}
