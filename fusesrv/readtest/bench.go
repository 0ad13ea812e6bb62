package readtest

import (
	"testing"

	"github.com/runvm/runvm/fusesrv"
)

// Serving is what Start mounts: one directory, READs of one size.
type Serving struct {
	Path         fusesrv.Path
	Dir          string // served
	MaxRead      int    // size of READs in bytes; as much is read ahead
	DirectSource bool   // see fusesrv.Options
	DirectTarget bool   // likewise
	SpliceWrites bool   // likewise
}

// A Mounted is a mount of a server process that was started by Start.
type Mounted struct{ m *mount }

// Start mounts s until the test ends; then it checks, as all cases of this
// package do, that the path did the work. It skips the test on kernels that
// are too old for the path.
func Start(t testing.TB, s Serving) Mounted {
	t.Helper()
	Need(t, s.Path)
	m := start(t, config{
		Path: s.Path.Name, inKernel: s.Path.InKernel, Valid: long,
		Loopback: s.Dir, MaxRead: s.MaxRead, DirectSource: s.DirectSource,
		DirectTarget: s.DirectTarget, SpliceWrites: s.SpliceWrites,
	})
	Readahead(t, m.dev, s.MaxRead>>10)
	return Mounted{m}
}

// Dir is where it is mounted.
func (m Mounted) Dir() string { return m.m.dir }

// PID is the server process.
func (m Mounted) PID() int { return m.m.cmd.Process.Pid }

// Stats are the server's counters.
func (m Mounted) Stats() fusesrv.Stats { return m.m.stats() }
