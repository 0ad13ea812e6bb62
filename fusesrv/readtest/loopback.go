package readtest

import (
	"testing"

	"github.com/runvm/runvm/fusesrv"
)

// A Served is a directory that a server process serves to read and to write.
type Served struct {
	Dir string // where it is mounted
	m   *mount
}

// Loopback serves the directory backing by p until the end of the test. Names
// and attributes do not time out, so nothing but the mount may change what is
// there. The server is a process of its own: its READs may be for mappings of the
// test. At the end its counters must show that READs went by p, but for the few
// that p is not fit for, and that there were none if p is in the kernel.
func Loopback(t testing.TB, p fusesrv.Path, backing string) *Served {
	t.Helper()
	Need(t, p)
	m := start(t, config{Path: p.Name, Valid: long, inKernel: p.InKernel, Loopback: backing, Workers: 2, mayCopy: true})
	return &Served{m.dir, m}
}

// Reads is how many READs the server has seen, and how many bytes it answered
// them with.
func (s *Served) Reads() (n, bytes uint64) {
	stats := s.m.stats()
	return stats.Reads, stats.ReadBytes
}

// Refuse lets a server whose path is in the kernel have seen READs that it
// refused, up to now.
func (s *Served) Refuse() {
	if stats := s.m.stats(); stats.Reads == stats.Failed {
		s.m.refused = stats.Reads
	}
}
