package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dies lets make die after minutes of work: a.o is whole, b.o newer than its
// record, c.o's record cut, d.o's in the making, and of what has no record one
// file is old and one the last that was written.
const dies = `cd "$obj"
echo > early
touch -d '1 minute' [acd].o early
touch -d '2 minutes' .[abcd].o.cmd
touch -d '3 minutes' b.o
truncate -s -8 .c.o.cmd
touch -d '2 minutes' .c.o.cmd .d.o.d
echo > late
touch -d '4 minutes' late
kill -KILL $$`

func TestKilledMakeKeepsWhatIsWhole(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.files["c.c"], k.files["d.c"] = "int c;", "int d;"
	k.files["behave"] = dies
	if _, err := k.build(); err == nil {
		t.Fatal("a make that was killed passed")
	}
	k.files["behave"] = ":"
	image := k.mustBuild()
	log, err := os.ReadFile(image.Log)
	if err != nil || image.Meta.Steps != 3 || strings.Contains(string(log), "a.o") {
		t.Errorf("%d steps, want 3, of b, c and d: %s (%v)", image.Meta.Steps, log, err)
	}
	obj, err := filepath.Glob(filepath.Join(k.b.Cache, "lane/toy-6.12/obj-*/"))
	if err != nil || len(obj) == 0 {
		t.Fatal(obj, err)
	}
	if !exists(filepath.Join(obj[0], "early")) || exists(filepath.Join(obj[0], "late")) {
		t.Error("of the files without a record the old one was to be kept, the last one to go")
	}
}

func TestObjectsOfAnotherBootAreNotTrusted(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.files["behave"] = `touch -d '1 minute' "$obj"/*.o
touch -d '2 minutes' "$obj"/.*.cmd "$obj"/last
echo another > "$obj"/.runvm-running
kill -KILL $$`
	if _, err := k.build(); err == nil {
		t.Fatal("a make that was killed passed")
	}
	k.files["behave"] = ":"
	if image := k.mustBuild(); image.Meta.Steps != 2 {
		t.Errorf("%d steps, want all: a machine that went down lost what it had not written", image.Meta.Steps)
	}
}

func TestBuildWaitsForTheProcessesOfAKilledMake(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	goOn := filepath.Join(t.TempDir(), "go-on")
	t.Cleanup(func() { _ = os.WriteFile(goOn, nil, 0o644) })
	k.files["behave"] = `(while [ -d ` + filepath.Dir(goOn) + ` ] && [ ! -e ` + goOn + ` ]; do sleep 0.02; done) >/dev/null 2>&1 &
kill -KILL $$`
	if _, err := k.build(); err == nil {
		t.Fatal("a make that was killed passed")
	}
	k.files["behave"] = ":"
	waited := false
	k.steps.on("wait for the make of a runvm", func() {
		waited = true
		_ = os.WriteFile(goOn, nil, 0o644)
	})
	if k.mustBuild(); !waited {
		t.Error("the build began before they had ended")
	}
}
