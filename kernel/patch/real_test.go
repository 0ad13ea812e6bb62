package patch

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// TestRealPatches applies the series RUNVM_PATCHES names, separated by
// spaces, to the first kernel of RUNVM_SOURCES (see kernel/source).
func TestRealPatches(t *testing.T) {
	specs, paths := strings.Fields(os.Getenv("RUNVM_SOURCES")), strings.Fields(os.Getenv("RUNVM_PATCHES"))
	if len(specs) == 0 || len(paths) == 0 {
		t.Skip("needs a kernel: RUNVM_SOURCES and RUNVM_PATCHES name it and its patches")
	}
	run := sh.Runner{Echo: t.Output()}
	tree, err := (&source.Store{Dir: os.Getenv("RUNVM_SOURCE_CACHE"), Sh: run}).Get(t.Context(), specs[0])
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	series, err := Load(paths)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Load %v", time.Since(start))
	for _, which := range []string{"first", "second"} {
		start := time.Now()
		patched, applied, err := Apply(t.Context(), run, tree, series, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s Apply %v: %s", which, time.Since(start), patched.ID)
		for _, a := range applied {
			t.Logf("%+v", a)
		}
		start = time.Now()
		touched, err := TouchedLines(t.Context(), run, tree, applied)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("TouchedLines %v: %+v", time.Since(start), touched)
	}
}
