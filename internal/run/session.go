package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
)

// A prepared is a kernel and the programs to run on it, as often as wanted.
type prepared struct {
	plan  Plan
	built *Built
	progs *programs
}

// again is a conductor like c that has timed no stage: each run's report
// tells of its own, and says nothing of single tests.
func (c *Conductor) again() *Conductor {
	return &Conductor{
		Cache: c.Cache, Dir: c.Dir, Sh: c.Sh, Progress: c.Progress, Patches: c.Patches,
		Host: c.Host, KernelOrg: c.KernelOrg,
		Err: c.Err, first: c.origin(),
	}
}

// run boots s once and keeps the run in dir, in place of one that was cut
// short there.
func (c *Conductor) run(ctx context.Context, s *prepared, dir string) (*verdict.Report, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	own := c.again()
	rec, err := own.recorder(dir, time.Now(), s.plan.Command, s.plan.Kernel, s.built, s.progs)
	if err != nil {
		return nil, err
	}
	defer rec.close()
	rec.live, rec.in.Allow = own.live(s.plan.Select), s.plan.Allow
	return own.cooked(ctx, cooking{s.plan.Kernel, s.plan.Guest, policy{keepGoing: s.plan.KeepGoing}, s.built, s.progs}, rec)
}

// figures are what the benchmarks of the run in dir wrote, by package, with
// the units that they explain.
func figures(dir string) (map[string]string, error) {
	data, err := Events(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var e gotest.Event
		switch err := dec.Decode(&e); {
		case err == io.EOF:
			return texts, nil
		case err != nil:
			return nil, fmt.Errorf("events of %s: %w", dir, err)
		}
		if e.Action == gotest.ActionOutput && (strings.HasPrefix(e.Output, "Benchmark") || strings.HasPrefix(e.Output, "Unit ")) {
			texts[e.Package] += e.Output
		}
	}
}
