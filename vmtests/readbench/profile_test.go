package readbench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/vmtests/counter"
)

const (
	profileTurns = 40
	profileLines = 40
)

// TestProfile says in which functions the server and the reader spend their
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

// profile reads the file over and over and shows where both were seen. What that
// costs is measured without looking: looking makes it twice as much.
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
	all := median(costs)
	c.show(t, "server", all.srv, p.Of(c.srv.PID()))
	c.show(t, "reader", all.app, p.Of(os.Getpid()))
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

// show shows what parts of a whole are spent where.
func (c *cell) show(t testing.TB, who string, spent time.Duration, shares []counter.Share) {
	t.Helper()
	whole := float64(spent/counter.Instruction) / float64(len(c.data)/1024)
	all := 0
	for _, s := range shares {
		all += s.Samples
	}
	if all == 0 {
		t.Fatalf("the %s was never seen", who)
	}
	var text strings.Builder
	for _, s := range shares[:min(len(shares), profileLines)] {
		part := float64(s.Samples) / float64(all)
		fmt.Fprintf(&text, "%8.2f  %5.1f %%  %s\n", part*whole, 100*part, s.Function)
	}
	t.Logf("%s: %.1f instr/KiB\n%s", who, whole, text.String())
}
