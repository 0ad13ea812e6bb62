package readtest

import (
	"testing"

	"github.com/runvm/runvm/fusesrv"
)

// Loopback serves the directory backing by p, to read and write, until the end
// of the test, and returns where it is mounted. Names and attributes do not time
// out, so nothing but the mount may change what is there. The server is a process
// of its own: its READs may be for mappings of the test. At the end its counters
// must show that READs went by p, but for the few that p is not fit for.
func Loopback(t testing.TB, p fusesrv.Path, backing string) (dir string) {
	t.Helper()
	Need(t, p)
	m := start(t, config{Path: p.Name, Valid: long, inKernel: p.InKernel, Loopback: backing, Workers: 2, mayCopy: true})
	return m.dir
}
