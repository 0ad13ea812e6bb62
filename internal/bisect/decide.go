package bisect

import (
	"fmt"

	"github.com/runvm/runvm/internal/compare"
)

// A Tally counts the runs of one position.
type Tally struct {
	Bad  int `json:"bad"`
	Good int `json:"good"`
	None int `json:"none,omitempty"` // that do not tell
}

// Add counts one more run.
func (t *Tally) Add(m Mark) {
	switch m {
	case Bad:
		t.Bad++
	case Good:
		t.Good++
	default:
		t.None++
	}
}

func (t *Tally) runs() int { return t.Bad + t.Good }

// String is "bad in 3 of 3".
func (t *Tally) String() string {
	s := fmt.Sprintf("bad in %d of %d", t.Bad, t.runs())
	if t.None > 0 {
		s += fmt.Sprintf(", %d do not tell", t.None)
	}
	return s
}

// The bounds of repetition.
const (
	patience = 10 // times the count of runs that a position gets at most
	odds     = 20 // to one: enough to decide what is flaky
)

// Ends are what the runs of the base (Good) and of the last position (Bad) say.
type Ends struct{ Good, Bad Tally }

// sharp says that the symptom is always there at one end and never at the
// other.
func (e *Ends) sharp() bool { return e.Good.Bad == 0 && e.Bad.Good == 0 }

// Decide says what a position is, of which each run told t; "" is that it has
// to run again. count is how many runs must agree where nothing is flaky. Else
// the frequencies at both ends decide: as soon as t is twenty times likelier
// at one of them, or never.
func (e *Ends) Decide(t Tally, count int) Mark {
	switch {
	case t.runs() == 0 && t.None >= count:
		return Skip
	case t.runs() >= count && e.sharp() && t.Bad == 0:
		return Good
	case t.runs() >= count && e.sharp() && t.Good == 0:
		return Bad
	}
	if t.runs() >= count {
		switch ratio := e.ratio(t); {
		case ratio >= odds:
			return Bad
		case ratio <= 1.0/odds:
			return Good
		}
	}
	if t.runs()+t.None >= patience*count {
		return Skip
	}
	return ""
}

// ratio is how much likelier t is on a bad kernel than on a good one.
func (e *Ends) ratio(t Tally) float64 {
	good, bad := rate(e.Good), rate(e.Bad)
	r := 1.0
	for range t.Bad {
		r *= bad / good
	}
	for range t.Good {
		r *= (1 - bad) / (1 - good)
	}
	return r
}

// rate estimates how often the symptom comes; never 0 or 1, for so few runs
// cannot tell.
func rate(t Tally) float64 { return (float64(t.Bad) + 0.5) / (float64(t.runs()) + 1) }

// Check says whether the ends are what they must be: nil, or why not. more
// says that further runs of both may yet tell.
func (e *Ends) Check(count int) (more bool, err error) {
	for _, end := range []Tally{e.Bad, e.Good} {
		if end.runs() == 0 {
			return end.None < count, fmt.Errorf("no run of it tells whether it is good or bad")
		}
	}
	tired := e.Good.runs()+e.Good.None >= patience*count || e.Bad.runs()+e.Bad.None >= patience*count
	switch {
	case e.Bad.runs() < count || e.Good.runs() < count:
		return !tired, fmt.Errorf("too few runs tell: base %v, with all patches %v", &e.Good, &e.Bad)
	case e.sharp():
		return false, nil
	case e.Bad.Bad == 0:
		return false, fmt.Errorf("the kernel with all patches is good: %v", &e.Bad)
	case e.Good.Good == 0:
		return false, fmt.Errorf("the base is bad already: %v", &e.Good)
	}
	p := compare.Fisher(compare.Tally{Runs: e.Good.runs(), Bad: e.Good.Bad}, compare.Tally{Runs: e.Bad.runs(), Bad: e.Bad.Bad})
	if p < compare.Alpha {
		return false, nil
	}
	return !tired, fmt.Errorf("the ends do not differ beyond chance: base %v, with all patches %v (p=%.2f)", &e.Good, &e.Bad, p)
}
