package readbench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/runvm/runvm/vmtests/counter"
)

const (
	profileTurns = 40
	profileLines = 40
)

// TestProfile says in which functions of the kernel a server spends its
// instructions, for each cell of BenchmarkRead that -run names: what one path
// has to do and another has not.
func TestProfile(t *testing.T) {
	if testing.Short() {
		t.Skip("a profile is for those who ask for it")
	}
	run := func(tb testing.TB, name string, f func(testing.TB)) {
		tb.(*testing.T).Run(name, func(t *testing.T) { f(t) })
	}
	cells(t, run, func(tb testing.TB, c *cell) { c.profile(tb) })
}

// profile reads the file over and over and shows where the server was seen. What
// it costs is measured without looking: that makes it twice as much.
func (c *cell) profile(t testing.TB) {
	t.Helper()
	if c.srv == nil {
		t.Skip("there is no server")
	}
	c.once(t)
	p := counter.NewProfile(t)
	var costs []cost
	for range profileTurns {
		costs = append(costs, c.cold(t, nil))
		c.cold(t, p)
	}
	perKiB := float64(median(costs).srv/counter.Instruction) / float64(len(c.data)/1024)
	t.Logf("%.1f instr/KiB:\n%s", perKiB, table(t, p.Of(c.srv.PID()), perKiB))
}

// cold is one turn and what it has cost, watched by p unless that is nil.
func (c *cell) cold(t testing.TB, p *counter.Profile) cost {
	t.Helper()
	c.warm(t)
	f := c.open(t)
	defer func() { _ = f.Close() }()
	if p != nil {
		p.Start(t)
		defer p.Stop(t)
	}
	return c.turn(t, f)
}

// table shows which parts of a whole are spent where.
func table(t testing.TB, shares []counter.Share, whole float64) string {
	t.Helper()
	all := 0
	for _, s := range shares {
		all += s.Samples
	}
	if all == 0 {
		t.Fatal("the server was never seen")
	}
	var text strings.Builder
	for _, s := range shares[:min(len(shares), profileLines)] {
		part := float64(s.Samples) / float64(all)
		fmt.Fprintf(&text, "%8.2f  %5.1f %%  %s\n", part*whole, 100*part, s.Function)
	}
	return text.String()
}
