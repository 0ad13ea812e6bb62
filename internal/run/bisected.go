package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/runvm/runvm/internal/bisect"
	"github.com/runvm/runvm/internal/compare"
)

// verify makes sure that the last position is bad and the base is good; what
// is wrong with the last one is the symptom where none was named.
func (s *bisection) verify(ctx context.Context) error {
	last := s.last()
	for {
		for _, n := range []int{last, 0} {
			if err := s.fill(ctx, n); err != nil {
				return err
			}
		}
		err := s.learnBench()
		if err != nil {
			return err
		}
		if s.ends.Bad, _, err = s.tally(last); err != nil {
			return err
		}
		if s.ends.Good, _, err = s.tally(0); err != nil {
			return err
		}
		more, wrong := s.ends.Check(s.Count)
		switch {
		case wrong == nil:
			s.c.say("bisect: base good (%v), with all %d patches bad (%v): %v", &s.ends.Good, last, &s.ends.Bad, s.symptom)
			return nil
		case !more:
			return fmt.Errorf("bisect: %w (runs in %s)", wrong, s.dir)
		}
		for _, n := range []int{last, 0} {
			if err := s.once(ctx, n); err != nil {
				return err
			}
		}
	}
}

// fill runs the end n until it ran Count times. Without a symptom so far the
// last position has to show one.
func (s *bisection) fill(ctx context.Context, n int) error {
	for s.step(n).Runs < s.Count {
		if err := s.once(ctx, n); err != nil {
			return err
		}
	}
	if s.Plan.Select.Bench != "" {
		return nil // what is worse is known when both ends are
	}
	for run := 1; s.symptom == nil && run <= s.step(n).Runs; run++ {
		report, err := Load(s.runOf(n, run))
		if err != nil {
			return err
		}
		s.symptom = bisect.Learn(report)
	}
	if s.symptom == nil {
		return fmt.Errorf("bisect: the kernel with all patches is not bad: %d of %d runs show nothing wrong (runs in %s)", s.Count, s.Count, s.dir)
	}
	return nil
}

// learnBench makes the benchmark that is worse at the last position than on
// the base the symptom, where benchmarks are what is looked at.
func (s *bisection) learnBench() error {
	if s.Plan.Select.Bench == "" || s.symptom != nil {
		return nil
	}
	var ends [2][]compare.Run
	for i, n := range []int{0, s.last()} {
		for run := 1; run <= s.step(n).Runs; run++ {
			one, err := s.load(n, run)
			if err != nil {
				return err
			}
			ends[i] = append(ends[i], one)
		}
	}
	bench := bisect.LearnBench(ends[0], ends[1], s.Threshold)
	if bench == nil {
		return fmt.Errorf("bisect: with all patches no benchmark is worse than on the base by %g %% and beyond chance (runs in %s)", 100*s.Threshold, s.dir)
	}
	s.symptom = &bisect.Symptom{Bench: bench}
	return nil
}

// load reads a run of position n, with its figures where they are looked at.
func (s *bisection) load(n, run int) (compare.Run, error) {
	report, err := Load(s.runOf(n, run))
	one := compare.Run{Report: report}
	if err == nil && s.Plan.Select.Bench != "" {
		one.Figures, err = s.figures(s.runOf(n, run))
	}
	return one, err
}

// judge says whether a run shows the symptom, and what it said.
func (s *bisection) judge(run compare.Run) (bisect.Mark, string) {
	if s.symptom.Bench != nil {
		return s.symptom.Bench.Judge(run)
	}
	mark, why := s.symptom.Judge(run.Report)
	if mark == bisect.Bad {
		why = run.Report.Reason
	}
	return mark, why
}

// step is the state of a position.
func (s *bisection) step(n int) *bisectedState {
	if s.state.Steps[n] == nil {
		s.state.Steps[n] = &bisectedState{}
	}
	return s.state.Steps[n]
}

func (s *bisection) runOf(n, run int) string {
	return filepath.Join(s.dir, fmt.Sprintf("%d-%d", n, run))
}

// once builds position n and runs it once. A kernel that cannot be built is
// skipped, unless it is one of the ends.
func (s *bisection) once(ctx context.Context, n int) error {
	step := s.step(n)
	report, key, err := s.boot(ctx, n, s.runOf(n, step.Runs+1))
	if untestable(err) && n != 0 {
		step.Skip = err.Error()
		return s.save()
	}
	if err != nil {
		return fmt.Errorf("with %d patches: %w", n, err)
	}
	step.Key = key
	step.Runs++
	s.c.say("bisect: %d of %d patches, run %d: %s", n, s.last(), step.Runs, inShort(report))
	return s.save()
}

// planOf is the plan of position n. No flag names a part of a series: only the
// last position has a command that runs it again.
func (s *bisection) planOf(n int) Plan {
	p := s.Plan
	if n < s.last() {
		p.Command = nil
	}
	if n == 0 {
		p.Kernel.Patches = s.Base
	}
	return p
}

// tally judges the runs of position n again; why is what one of them said.
func (s *bisection) tally(n int) (t bisect.Tally, why string, err error) {
	for run := 1; run <= s.step(n).Runs; run++ {
		one, err := s.load(n, run)
		if err != nil {
			return t, "", err
		}
		mark, reason := s.judge(one)
		t.Add(mark)
		if why == "" || mark == bisect.Bad {
			why = reason
		}
	}
	return t, why, nil
}

// search tests positions until it is known which patch is the first bad one.
func (s *bisection) search(ctx context.Context) (map[int]bisect.Mark, error) {
	marks := map[int]bisect.Mark{0: bisect.Good, s.last(): bisect.Bad}
	for {
		n, more := bisect.Next(marks, s.last())
		if !more {
			return marks, nil
		}
		mark, err := s.decide(ctx, n)
		if err != nil {
			return nil, err
		}
		marks[n] = mark
		s.c.say("bisect: with %d of %d patches: %s", n, s.last(), mark)
	}
}

// decide runs position n until it is known what it is.
func (s *bisection) decide(ctx context.Context, n int) (bisect.Mark, error) {
	for {
		if s.step(n).Skip != "" {
			return bisect.Skip, nil
		}
		t, _, err := s.tally(n)
		if err != nil {
			return "", err
		}
		if mark := s.ends.Decide(t, s.Count); mark != "" {
			return mark, nil
		}
		if err := s.once(ctx, n); err != nil {
			return "", err
		}
	}
}

// result names the culprit and the evidence.
func (s *bisection) result(marks map[int]bisect.Mark) (*bisect.Result, error) {
	good, bad := bisect.Range(marks, s.last())
	r := &bisect.Result{Schema: bisect.Schema, Symptom: s.symptom, Patches: applied(s.suite, nil), First: good + 1, Last: bad, Dir: s.dir}
	for n := 0; n <= s.last(); n++ {
		if marks[n] == "" {
			continue
		}
		state := s.step(n)
		t, why, err := s.tally(n)
		if err != nil {
			return nil, err
		}
		step := bisect.Step{Position: n, Mark: marks[n], Tally: t, Key: state.Key, Reason: why}
		if state.Skip != "" {
			step.Reason = state.Skip
		}
		for run := 1; run <= state.Runs; run++ {
			step.Dirs = append(step.Dirs, s.runOf(n, run))
		}
		r.Steps = append(r.Steps, step)
	}
	return r, nil
}

// showDiff gives r what the patches that it names change: git's summary, and a
// file with all of it.
func (s *bisection) showDiff(ctx context.Context, r *bisect.Result) error {
	from, to := s.tree(r.First-1), s.tree(r.Last)
	stat, err := s.full.Base.Git(ctx, s.c.Sh, "diff-tree", "--stat=76", from, to).Output()
	if err != nil {
		return err
	}
	diff, err := s.full.Base.Git(ctx, s.c.Sh, "diff-tree", "-p", from, to).Output()
	if err != nil {
		return err
	}
	r.Stat, r.Diff = strings.TrimRight(string(stat), "\n"), filepath.Join(s.dir, diffFile)
	return os.WriteFile(r.Diff, diff, 0o644)
}

// tree is the id of the tree of position n.
func (s *bisection) tree(n int) string {
	if n == 0 {
		return s.base.ID
	}
	return s.suite[n-1].Tree
}
