package fuseread

import (
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
)

func TestCopy(t *testing.T)          { run(t, "copy") }
func TestSplice(t *testing.T)        { run(t, "splice") }
func TestSpliceMove(t *testing.T)    { run(t, "splice-move") }
func TestRsplicePipe(t *testing.T)   { run(t, "rsplice-pipe") }
func TestRspliceFill(t *testing.T)   { run(t, "rsplice-fill") }
func TestRspliceDirect(t *testing.T) { run(t, "rsplice-direct") }
func TestPassthrough(t *testing.T)   { run(t, "passthrough") }
func TestIoUring(t *testing.T)       { run(t, "io_uring") }
func TestIoUringZC(t *testing.T)     { run(t, "io_uring-zc") }

// tested are the paths that have a test above.
func tested() map[string]bool {
	return map[string]bool{
		"copy": true, "splice": true, "splice-move": true,
		"rsplice-pipe": true, "rsplice-fill": true, "rsplice-direct": true, "passthrough": true,
		"io_uring": true, "io_uring-zc": true,
	}
}

func TestEveryPathIsTested(t *testing.T) {
	for _, p := range fusesrv.Paths() {
		if !tested()[p.Name] {
			t.Errorf("path %s has no test", p.Name)
		}
	}
}

// run checks all that is claimed of the path called name.
func run(t *testing.T, name string) {
	for _, p := range fusesrv.Paths() {
		if p.Name == name {
			readtest.Run(t, p)
			return
		}
	}
	t.Errorf("no path %s", name)
}
