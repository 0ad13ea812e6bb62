package suites

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/runvm/runvm/vmtests/guest"
)

// Operations on one file, and the largest that it gets, in bytes.
const (
	fsxOps, fsxShortOps = 100_000, 1_000
	fsxSize             = 300_000
	fsxTold             = 10_000 // operations between two remarks
)

func TestFsx(t *testing.T) {
	seed := guest.Seed(t, "suites.seed")
	ops := fsxOps
	if testing.Short() {
		ops = fsxShortOps
	}
	onEach(t, func(t *testing.T, p place) {
		f := newFile(t, filepath.Join(p.dir, "file"), rand.New(rand.NewPCG(seed, 0)))
		defer f.close()
		for i := 0; i < ops && !t.Failed(); i++ {
			if i%fsxTold == 0 {
				t.Logf("%d operations", i) // who says nothing for long seems to hang
			}
			f.step()
		}
		if t.Failed() {
			t.Logf("operations, the last ones: %s", f.history())
		}
	})
}
