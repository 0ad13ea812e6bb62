package suites

import (
	"os"
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
)

// TestMain runs the tests, or the server that one of them has started.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) {
		return
	}
	m.Run()
}

// onEach runs a suite over each path, in a directory of a mount of its own.
func onEach(t *testing.T, suite func(t *testing.T, dir string)) {
	for _, p := range fusesrv.Paths() {
		t.Run(p.Name, func(t *testing.T) {
			suite(t, readtest.Loopback(t, p, t.TempDir()))
		})
	}
}
