package bisect

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

// search runs a bisection in which test says what a position is.
func search(t *testing.T, last int, test func(n int) Mark) (good, bad, steps int) {
	t.Helper()
	marks := map[int]Mark{}
	for {
		n, more := Next(marks, last)
		if !more {
			good, bad = Range(marks, last)
			return good, bad, steps
		}
		if marks[n] != "" || n < 0 || n > last {
			t.Fatalf("Next wants position %d of %d, which is %q", n, last, marks[n])
		}
		marks[n] = test(n)
		steps++
	}
}

func TestSearchFindsEveryCulprit(t *testing.T) {
	for last := 1; last <= 40; last++ {
		most := 2
		for n := last; n > 1; n = (n + 1) / 2 {
			most++
		}
		for culprit := 1; culprit <= last; culprit++ {
			good, bad, steps := search(t, last, func(n int) Mark {
				if n >= culprit {
					return Bad
				}
				return Good
			})
			if good != culprit-1 || bad != culprit {
				t.Errorf("%d patches, culprit %d: found %d to %d", last, culprit, good+1, bad)
			}
			if steps > most {
				t.Errorf("%d patches, culprit %d: %d steps, want at most %d", last, culprit, steps, most)
			}
		}
	}
}

func TestSearchGoesRoundSkips(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		last := 1 + r.IntN(20)
		culprit := 1 + r.IntN(last)
		skipped := map[int]bool{}
		for n := 1; n < last; n++ {
			skipped[n] = r.IntN(3) == 0
		}
		good, bad, _ := search(t, last, func(n int) Mark {
			switch {
			case skipped[n]:
				return Skip
			case n >= culprit:
				return Bad
			}
			return Good
		})
		if culprit <= good || culprit > bad {
			t.Errorf("seed %d: culprit %d is not in %d to %d", seed, culprit, good+1, bad)
		}
		for n := good + 1; n < bad; n++ {
			if !skipped[n] {
				t.Errorf("seed %d: culprit in %d to %d, but %d could be tested", seed, good+1, bad, n)
			}
		}
	}
}

func TestSearchWithBadEnds(t *testing.T) {
	if good, bad := Range(map[int]Mark{0: Bad, 4: Bad}, 4); good != -1 || bad != 0 {
		t.Errorf("a bad base: range %d to %d", good, bad)
	}
	if good, bad := Range(map[int]Mark{0: Good, 4: Good}, 4); good != 4 || bad != 5 {
		t.Errorf("a good end: range %d to %d", good, bad)
	}
}

func TestDecide(t *testing.T) {
	sharp := Ends{Good: Tally{Good: 3}, Bad: Tally{Bad: 3}}
	flaky := Ends{Good: Tally{Good: 20}, Bad: Tally{Bad: 8, Good: 12}}
	for name, tc := range map[string]struct {
		ends  Ends
		tally Tally
		want  Mark
	}{
		"too few":                        {sharp, Tally{Bad: 2}, ""},
		"unanimous, bad":                 {sharp, Tally{Bad: 3}, Bad},
		"unanimous, good":                {sharp, Tally{Good: 3}, Good},
		"does not boot":                  {sharp, Tally{None: 3}, Skip},
		"does not boot, once":            {sharp, Tally{None: 1}, ""},
		"boots sometimes":                {sharp, Tally{None: 2, Bad: 3}, Bad},
		"one crash does not decide":      {sharp, Tally{Bad: 1, Good: 2}, ""},
		"a lead decides":                 {sharp, Tally{Bad: 3, Good: 1}, Bad},
		"never decided":                  {sharp, Tally{Bad: 15, Good: 15}, Skip},
		"flaky bug: a few good are not":  {flaky, Tally{Good: 3}, ""},
		"flaky bug: many good are":       {flaky, Tally{Good: 7}, Good},
		"flaky bug: two bad are enough":  {flaky, Tally{Bad: 2, Good: 1}, Bad},
		"flaky bug: one bad is not":      {flaky, Tally{Bad: 1, Good: 2}, ""},
		"bad base: three bad are not":    {Ends{Good: Tally{Bad: 8, Good: 12}, Bad: Tally{Bad: 20}}, Tally{Bad: 3}, ""},
		"almost never tells, no for all": {sharp, Tally{None: 29, Bad: 1}, Skip},
	} {
		if got := tc.ends.Decide(tc.tally, 3); got != tc.want {
			t.Errorf("%s: %v is %q, want %q", name, &tc.tally, got, tc.want)
		}
	}
}

func TestEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		good, bad Tally
		more      bool
		err       string
	}{
		"as they must be":      {Tally{Good: 3}, Tally{Bad: 3}, false, ""},
		"all good":             {Tally{Good: 3}, Tally{Good: 3}, false, "with all patches is good"},
		"all bad":              {Tally{Bad: 3}, Tally{Bad: 3}, false, "the base is bad already"},
		"base does not boot":   {Tally{None: 3}, Tally{Bad: 3}, false, "no run of it tells"},
		"flaky, not clear yet": {Tally{Good: 3}, Tally{Bad: 1, Good: 2}, true, "beyond chance"},
		"flaky, clear":         {Tally{Good: 10}, Tally{Bad: 5, Good: 5}, false, ""},
		"flaky on both":        {Tally{Good: 15, Bad: 15}, Tally{Good: 15, Bad: 15}, false, "beyond chance"},
		"too few":              {Tally{Good: 2}, Tally{Bad: 3}, true, "too few"},
	} {
		ends := Ends{Good: tc.good, Bad: tc.bad}
		more, err := ends.Check(3)
		if more != tc.more || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: more %v, error %v; want %v, %q", name, more, err, tc.more, tc.err)
		}
	}
}

// TestFlakySearch bisects for a symptom that shows in 2 of 5 runs, and one
// that the base shows too, in 1 of 10.
func TestFlakySearch(t *testing.T) {
	wrong, rounds := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		last, culprit := 8, 1+r.IntN(8)
		base := []float64{0, 0.1}[r.IntN(2)]
		once := func(n int) Mark {
			p := base
			if n >= culprit {
				p = 0.4 + base*4
			}
			if r.Float64() < p {
				return Bad
			}
			return Good
		}
		ends, more, err := Ends{}, true, error(nil)
		for more {
			ends.Good.Add(once(0))
			ends.Bad.Add(once(last))
			more, err = ends.Check(4)
		}
		if err != nil {
			continue
		}
		rounds++
		good, bad, _ := search(t, last, func(n int) Mark {
			if n == 0 {
				return Good
			}
			if n == last {
				return Bad
			}
			tally := Tally{}
			for {
				if m := ends.Decide(tally, 4); m != "" {
					return m
				}
				tally.Add(once(n))
			}
		})
		if culprit <= good || culprit > bad {
			wrong++
		}
	}
	if rounds < 300 || wrong*8 > rounds {
		t.Errorf("%d of %d bisections of a flaky symptom went wrong", wrong, rounds)
	}
}

// report is one with a program p and these tests, "a:pass".
func report(v verdict.Verdict, tests ...string) *verdict.Report {
	r := &verdict.Report{Booted: true, Verdict: v, Programs: []verdict.Program{{ID: "p", Verdict: v, Reached: true}}}
	for _, w := range tests {
		name, v, _ := strings.Cut(w, ":")
		r.Programs[0].Tests = append(r.Programs[0].Tests, verdict.Test{Name: name, Verdict: verdict.Verdict(v), Reached: v != "incomplete"})
	}
	return r
}

func crashed(titles ...string) *verdict.Report {
	r := report(verdict.Crash, "a:crash")
	for _, title := range titles {
		r.Crashes = append(r.Crashes, verdict.Complaint{Crash: console.Crash{Title: title}})
	}
	return r
}

func TestSymptoms(t *testing.T) {
	allowed := crashed("WARNING in f")
	allowed.Crashes[0].Allowed, allowed.Verdict = &verdict.Allowed{}, verdict.Pass
	noboot := crashed("BUG in early")
	noboot.Booted = false
	for name, tc := range map[string]struct {
		seen, other *verdict.Report
		want        Mark
	}{
		"the same crash":         {crashed("WARNING in f"), crashed("WARNING in g", "WARNING in f"), Bad},
		"another crash":          {crashed("WARNING in f"), crashed("WARNING in fg"), Skip},
		"no crash":               {crashed("WARNING in f"), report(verdict.Pass, "a:pass"), Good},
		"a failure is no crash":  {crashed("WARNING in f"), report(verdict.Fail, "a:fail"), Good},
		"an allowed crash":       {crashed("WARNING in f"), allowed, Good},
		"does not boot":          {crashed("WARNING in f"), noboot, Skip},
		"skips itself":           {crashed("WARNING in f"), report(verdict.Skipped, "a:skipped"), Skip},
		"the same test fails":    {report(verdict.Fail, "a:fail", "b:pass"), report(verdict.Fail, "a:fail", "b:pass"), Bad},
		"another test fails":     {report(verdict.Fail, "a:fail", "b:pass"), report(verdict.Fail, "a:pass", "b:fail"), Good},
		"it crashes now":         {report(verdict.Fail, "a:fail"), crashed("WARNING in f"), Skip},
		"it is not reached":      {report(verdict.Fail, "a:fail"), report(verdict.Incomplete, "a:incomplete"), Skip},
		"it is not there":        {report(verdict.Fail, "a:fail"), report(verdict.Pass, "b:pass"), Skip},
		"it skips itself":        {report(verdict.Fail, "a:fail"), report(verdict.Pass, "a:skipped", "b:pass"), Skip},
		"a program fails":        {report(verdict.Fail), report(verdict.Fail), Bad},
		"a program passes":       {report(verdict.Fail), report(verdict.Pass), Good},
		"it hangs where it hung": {report(verdict.Hang, "a:hang"), report(verdict.Hang, "a:hang"), Bad},
		"it fails where it hung": {report(verdict.Hang, "a:hang"), report(verdict.Fail, "a:fail"), Skip},
	} {
		s := Learn(tc.seen)
		if s == nil {
			t.Errorf("%s: nothing learned", name)
			continue
		}
		if got, why := s.Judge(tc.other); got != tc.want || (why == "") != (got != Skip) {
			t.Errorf("%s: %v is %q (%s), want %q", name, s, got, why, tc.want)
		}
	}
}

func TestWhatWasNotReachedIsNotTheSymptom(t *testing.T) {
	s := Symptom{Tests: []Test{{"p", "a"}}, Verdict: verdict.Incomplete}
	if got, _ := s.Judge(report(verdict.Incomplete, "a:incomplete")); got != Skip {
		t.Errorf("a test that something else kept from running is %q, want %q", got, Skip)
	}
}

func TestNothingToLearn(t *testing.T) {
	noboot := report(verdict.Crash)
	noboot.Booted = false
	for _, r := range []*verdict.Report{report(verdict.Pass, "a:pass"), report(verdict.Skipped), report(verdict.Broken), noboot} {
		if s := Learn(r); s != nil {
			t.Errorf("a %s run (booted %v) shows %v", r.Verdict, r.Booted, s)
		}
	}
}
