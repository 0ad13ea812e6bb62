package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/runvm/runvm/internal/bisect"
	"github.com/runvm/runvm/internal/compare"
	"github.com/runvm/runvm/internal/recipe"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
	"github.com/runvm/runvm/kernel/source"
)

// The files in the directory of a bisection, beside its runs "POSITION-RUN".
const (
	bisectFile = "bisect.json"
	resultFile = "result.json"
	diffFile   = "culprit.diff"
)

// A Bisect looks for the patch of Plan's series that makes a symptom appear.
type Bisect struct {
	// Plan is the last position: the kernel with all patches. Out is not used.
	Plan Plan
	// Base are series that every position has; they come first in Plan's.
	Base []string
	// Title is a regular expression: the symptom is a complaint of the kernel
	// whose title it matches. "" is what is wrong with the last position.
	Title string
	// Threshold is by how much a benchmark of Plan's has to be worse, 0.05 for
	// 5 %; where Plan has some, one of them is the symptom.
	Threshold float64
	// Count is how many runs must agree on a position, 1 to MaxRepeat.
	Count int
	// Out is the directory of the state and of all runs, where an interrupted
	// bisection goes on; "" is one in the cache that only this bisection has.
	Out string
}

// Check refuses a Bisect that cannot work, before anything slow is started.
func (b *Bisect) Check() error {
	if b.Count < 1 || b.Count > MaxRepeat {
		return usagef("-count %d: want 1 to %d", b.Count, MaxRepeat)
	}
	if _, err := regexp.Compile(b.Title); err != nil {
		return usagef("-title: %w", err)
	}
	if err := b.checkBench(); err != nil {
		return err
	}
	if len(b.Plan.Kernel.Patches) == len(b.Base) {
		return usagef("bisect: want -patches, the series in which the culprit is")
	}
	return b.Plan.Check()
}

// checkBench refuses what is not to be measured.
func (b *Bisect) checkBench() error {
	switch {
	case b.Plan.Select.Bench == "":
		return nil
	case b.Title != "":
		return usagef("-title and -bench are two symptoms: want one")
	case b.Threshold <= 0:
		return usagef("-threshold %g: want more than 0", 100*b.Threshold)
	case b.Count < compare.MinPairs:
		return usagef("-bench: with -count %d any difference may be chance: want %d or more", b.Count, compare.MinPairs)
	}
	return nil
}

// A bisection is a Bisect on its way.
type bisection struct {
	Bisect
	c     *Conductor
	dir   string
	full  *Built // the last position
	base  *source.Tree
	suite []patch.Applied // the patches in question, those behind base
	progs *programs
	// boot runs position n once, keeps the run in dir and returns the key of its image.
	boot func(ctx context.Context, n int, dir string) (*verdict.Report, string, error)
	// figures are what the benchmarks of the run in dir wrote, by package.
	figures func(dir string) (map[string]string, error)

	state   bisectState
	symptom *bisect.Symptom
	ends    bisect.Ends
}

// bisectState is bisect.json: what an interrupted bisection goes on from.
type bisectState struct {
	Schema int `json:"schema"`
	// Key is of all that must be the same for its runs to count.
	Key   string                 `json:"key"`
	Steps map[int]*bisectedState `json:"steps"`
}

// A bisectedState is what was done at one position. Its mark follows from it.
type bisectedState struct {
	Runs int    `json:"runs"` // that are complete
	Key  string `json:"key,omitempty"`
	Skip string `json:"skip,omitempty"` // why there is no kernel to run
}

// Bisect carries b out. An error means that there is no culprit to be named:
// the ends are not good and bad, or this machine failed; the bisection can go
// on later.
func (c *Conductor) Bisect(ctx context.Context, b Bisect) (*bisect.Result, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	own := c.again()
	progs, err := own.programs(ctx, b.Plan)
	if err != nil {
		return nil, err
	}
	full, err := own.Build(ctx, b.Plan.Kernel)
	if err != nil {
		return nil, fmt.Errorf("the kernel with all patches: %w", err)
	}
	s := &bisection{Bisect: b, c: c, full: full, progs: progs, figures: figures}
	s.base, s.suite = s.split()
	s.boot = s.bootGuest
	result, err := s.carryOut(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.showDiff(ctx, result); err != nil {
		return nil, fmt.Errorf("diff of the culprit: %w", err)
	}
	return result, writeJSON(filepath.Join(s.dir, resultFile), result)
}

// carryOut goes from the ends to the culprit.
func (s *bisection) carryOut(ctx context.Context) (*bisect.Result, error) {
	if s.Title != "" {
		s.symptom = &bisect.Symptom{Title: s.Title}
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	marks, err := s.search(ctx)
	if err != nil {
		return nil, err
	}
	return s.result(marks)
}

// split parts what every position has from the patches in question.
func (s *bisection) split() (*source.Tree, []patch.Applied) {
	n := s.full.below(s.Base)
	return s.full.prefix(n).Tree, s.full.Applied[n:]
}

func (s *bisection) last() int { return len(s.suite) }

// open finds the bisection's directory and what was done in it before.
func (s *bisection) open(ctx context.Context) error {
	key, err := s.key(ctx)
	if err != nil {
		return err
	}
	dir := s.Out
	if dir == "" {
		dir = filepath.Join(s.c.Cache, "run", "bisect-"+key[:16])
	}
	if s.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	s.state = bisectState{Schema: bisect.Schema, Key: key, Steps: map[int]*bisectedState{}}
	data, err := readBounded(filepath.Join(s.dir, bisectFile))
	if errors.Is(err, os.ErrNotExist) {
		if entries, err := os.ReadDir(s.dir); err != nil || len(entries) > 0 {
			return usagef("-o %s: the folder is not empty", s.Out)
		}
		return s.save()
	}
	if err != nil {
		return err
	}
	var old bisectState
	if err := json.Unmarshal(data, &old); err != nil || old.Schema != bisect.Schema || old.Key != key {
		return usagef("-o %s: the bisection in it is another one: other patches, tests, kernel or guest", s.dir)
	}
	if old.Steps != nil {
		s.state = old
		s.c.say("bisect: goes on from %s", s.dir)
	}
	return nil
}

func (s *bisection) save() error { return writeJSON(filepath.Join(s.dir, bisectFile), s.state) }

// key digests what the runs of a bisection depend on: kernels, tests and
// guests. What is looked for in them is another matter.
func (s *bisection) key(ctx context.Context) (string, error) {
	h := sha256.New()
	p := &s.Plan
	fmt.Fprintf(h, "%s %s\n%+v\n%+v\n%+v %v\n", s.full.Key, s.base.ID, p.Guest, p.Select, p.Allow, p.KeepGoing)
	for _, a := range s.suite {
		fmt.Fprintln(h, a.Tree)
	}
	if image := p.Guest.Disk.Image; image != "" {
		sum, err := recipe.SumFile(ctx, image)
		if err != nil {
			return "", fmt.Errorf("-disk: %w", err)
		}
		fmt.Fprintln(h, sum)
	}
	for _, f := range s.progs.files {
		fmt.Fprintf(h, "%s %o %s\n", f.Path, f.Mode, f.Link)
		if f.Source == "" {
			continue
		}
		data, err := os.ReadFile(f.Source)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%x\n", sha256.Sum256(data))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// bootGuest is what boot is but for tests.
func (s *bisection) bootGuest(ctx context.Context, n int, dir string) (*verdict.Report, string, error) {
	built, err := s.build(ctx, n)
	if err != nil {
		return nil, "", err
	}
	report, err := s.c.run(ctx, &prepared{plan: s.planOf(n), built: built, progs: s.progs}, dir)
	return report, built.Key, err
}

// build makes the kernel of a position: the trees of all are known.
func (s *bisection) build(ctx context.Context, n int) (*Built, error) {
	if n == s.last() {
		return s.full, nil
	}
	built := s.full.prefix(len(s.full.Applied) - s.last() + n)
	return built, s.c.image(ctx, s.Plan.Kernel, built)
}

// untestable tells whether err is the kernel's fault, so that its position
// has to be skipped.
func untestable(err error) bool {
	var build *kernel.BuildError
	var config *kernel.ConfigError
	return errors.As(err, &build) || errors.As(err, &config)
}
