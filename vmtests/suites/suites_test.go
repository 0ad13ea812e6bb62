package suites

import (
	"fmt"
	"os"
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMain runs the tests, or the server that one of them has started, or the
// one test of posixtest that is run alone.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) || posixAlone() {
		return
	}
	m.Run()
}

// plain is where a suite runs without a server, to see what it makes of the
// file system below.
const plain = "plain"

// A place is a directory that a suite runs in.
type place struct {
	name string // plain, or a read path
	dir  string
	real string // the same directory without the server in between
	// served is nil without a server.
	served   *readtest.Served
	inKernel bool // the path has no READs
}

// reads fails the test when what do does brings fewer than bytes by READs.
func (p place) reads(t *testing.T, bytes uint64, do func()) {
	t.Helper()
	if p.served == nil || p.inKernel {
		do()
		return
	}
	_, before := p.served.Reads()
	do()
	if _, after := p.served.Reads(); after-before < bytes && !t.Failed() && !t.Skipped() {
		t.Errorf("READs brought %d bytes, want %d and more", after-before, bytes)
	}
}

// strayReads returns what is wrong with the READs that do causes: on a path in
// the kernel there should be none.
func (p place) strayReads(do func()) string {
	if !p.inKernel {
		do()
		return ""
	}
	before, _ := p.served.Reads()
	do()
	after, _ := p.served.Reads()
	if after == before {
		return ""
	}
	p.served.Refuse()
	return fmt.Sprintf("%d READs came to the server, which refused them", after-before)
}

// onEach runs a suite in a plain directory, unless tests are to be short, and in a
// mount of each path, on which it has to read. What is below is tmpfs.
func onEach(t *testing.T, suite func(t *testing.T, p place)) {
	t.Run(plain, func(t *testing.T) {
		guest.Need(t)
		if testing.Short() {
			t.Skip("the server is what is tested: see make suites")
		}
		dir := t.TempDir()
		suite(t, place{name: plain, dir: dir, real: dir})
	})
	for _, p := range fusesrv.Paths() {
		t.Run(p.Name, func(t *testing.T) {
			real := t.TempDir()
			served := readtest.Loopback(t, p, real)
			on := place{p.Name, served.Dir, real, served, p.InKernel}
			on.reads(t, 1, func() { suite(t, on) })
		})
	}
}
