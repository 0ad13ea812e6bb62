package readbench

import (
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/vmtests/counter"
	"github.com/runvm/runvm/vmtests/guest"
)

func (c *cell) stats() fusesrv.Stats {
	if c.srv == nil {
		return fusesrv.Stats{}
	}
	return c.srv.Stats()
}

func (c *cell) mib() float64 { return float64(len(c.data)) / (1 << 20) }

// report turns CPU time into the unit that it is in.
func (c *cell) report(b *testing.B, cold, warm cost) {
	b.Helper()
	cost := counter.NewCost(b, len(c.data))
	cost.Report(b, "app-", cold.app)
	cost.Report(b, "srv-", cold.srv)
	if !c.access.uncached {
		cost.Report(b, "extra-", cold.app+cold.srv-warm.app)
	}
	cost.Report(b, "both-", cold.app+cold.srv)
	cost.Report(b, "all-", cold.all)
	if !cost.Counts() {
		b.ReportMetric(c.mib()/cold.all.Seconds(), "MiB/s")
	}
	b.ReportMetric(0, "ns/op") // which is the setup's as well
}

// reportServer shows the server's counters.
func (c *cell) reportServer(b *testing.B, before fusesrv.Stats) {
	b.Helper()
	s := c.stats()
	if reads := s.Reads - before.Reads; reads > 0 {
		b.ReportMetric(float64(s.Calls-before.Calls)/float64(reads), "calls/READ")
		b.ReportMetric(float64(s.ReadBytes-before.ReadBytes)/float64(reads), "B/READ")
	}
}

// reportPages reads the file once more and watches the page caches.
func (c *cell) reportPages(b *testing.B) {
	b.Helper()
	here := c.warm(b)
	high, low := c.open(b), open(b, c.low(), 0)
	defer func() { _, _ = high.Close(), low.Close() }()
	most := 0
	r := *c.reader
	r.every = func() {
		held := guest.ResidentPages(b, low)
		if c.srv != nil && !c.inKernel { // whose mapping is one of the file itself
			held += guest.ResidentPages(b, high)
		}
		most = max(most, held)
	}
	r.read(b, high)
	gone := float64(here-guest.ResidentPages(b, low)) / c.mib()
	b.ReportMetric(max(gone, 0), "evicted-pages/MiB")
	b.ReportMetric(max(-gone, 0), "added-pages/MiB")
	b.ReportMetric(float64(most)/c.mib(), "held-pages/MiB")
}

// reportCopies reads the file and counts what is copied.
func (c *cell) reportCopies(b *testing.B) {
	b.Helper()
	var copied uint64
	for b.Loop() {
		c.warm(b)
		f := c.open(b)
		c.copied.Start(b)
		c.reader.read(b, f)
		copied = c.copied.Stop(b)
		_ = f.Close()
	}
	b.ReportMetric(float64(copied)/float64(len(c.data)), "copied-B/B")
	b.ReportMetric(0, "ns/op")
}
