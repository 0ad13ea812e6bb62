package source

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/sh"
)

// TestRealSources fetches what RUNVM_SOURCES names, such as "6.12 7.3
// ./linux", into the folder RUNVM_SOURCE_CACHE and checks it out there.
func TestRealSources(t *testing.T) {
	specs := strings.Fields(os.Getenv("RUNVM_SOURCES"))
	if len(specs) == 0 {
		t.Skip("needs the network: RUNVM_SOURCES names the kernels to fetch")
	}
	dir := os.Getenv("RUNVM_SOURCE_CACHE")
	if dir == "" {
		dir = t.TempDir()
	}
	s := &Store{Dir: dir, Sh: sh.Runner{Echo: t.Output()}, Progress: logSink{t}}
	for _, spec := range specs {
		start := time.Now()
		tree, err := s.Get(t.Context(), spec)
		if err != nil {
			t.Errorf("%v (after %v)", err, time.Since(start))
			continue
		}
		t.Logf("%s: first Get %v: %+v", spec, time.Since(start), *tree)
		start = time.Now()
		again, err := s.Get(t.Context(), spec)
		if err != nil || again.ID != tree.ID {
			t.Errorf("second Get of %s: %+v, %v", spec, again, err)
		}
		t.Logf("%s: second Get %v", spec, time.Since(start))
		for _, which := range []string{"first", "second"} {
			start = time.Now()
			if err := Checkout(t.Context(), s.Sh, tree, dir+"/checkout-"+tree.Base); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s Checkout %v", spec, which, time.Since(start))
		}
	}
}
