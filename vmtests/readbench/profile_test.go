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
	profileLines = 40 // functions, those with most samples
)

// reportProfile reads the file over and over and logs in which functions reader and
// server were seen: what one path has to do and another has not. What that costs is
// measured without looking: looking makes it twice as much.
func (c *cell) reportProfile(b *testing.B) {
	b.Helper()
	if !counter.Instructions(b) {
		b.Fatal("the guest's clock counts no instructions: a deterministic guest has one that does")
	}
	p := counter.NewProfile(b)
	var costs []cost
	for b.Loop() {
		for range profileTurns {
			costs = append(costs, c.cold(b, nil))
			c.cold(b, p)
		}
	}
	spent, reader := median(costs), p.Of(b, os.Getpid())
	if len(reader) == 0 {
		b.Fatal("the reader was never seen")
	}
	c.logShares(b, "reader", spent.app, reader)
	if c.srv != nil {
		c.logShares(b, "server", spent.srv, p.Of(b, c.srv.PID()))
	}
	b.ReportMetric(0, "ns/op")
}

// cold is one turn and what it has cost, watched by p unless that is nil.
func (c *cell) cold(b *testing.B, p *counter.Profile) cost {
	b.Helper()
	c.warm(b)
	f := c.open(b)
	defer func() { _ = f.Close() }()
	return c.turn(b, f, p)
}

// logShares logs where a whole is spent.
func (c *cell) logShares(b *testing.B, who string, spent time.Duration, shares []counter.Share) {
	b.Helper()
	whole := float64(spent/counter.Instruction) / float64(len(c.data)/1024)
	all := 0
	for _, s := range shares {
		all += s.Samples
	}
	var text strings.Builder
	for _, s := range shares[:min(len(shares), profileLines)] {
		part := float64(s.Samples) / float64(all)
		fmt.Fprintf(&text, "%8.2f  %5.1f %%  %s\n", part*whole, 100*part, s.Function)
	}
	b.Logf("%s: %.1f instr/KiB\n%s", who, whole, text.String())
}
