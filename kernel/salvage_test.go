package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dies lets make die after some minutes of work: a.o is whole, b.o newer than
// its record, c.o and its record are the last that were written.
const dies = `cd "$obj"
touch -d '1 minute' a.o
touch -d '2 minutes' .a.o.cmd .b.o.cmd
touch -d '3 minutes' b.o
touch -d '4 minutes' c.o .c.o.cmd
kill -KILL $$`

func TestKilledMakeKeepsWhatIsWhole(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.files["c.c"] = "int c;"
	k.files["behave"] = dies
	if _, err := k.build(); err == nil {
		t.Fatal("a make that was killed passed")
	}
	k.files["behave"] = ":"
	image := k.mustBuild()
	log, err := os.ReadFile(image.Log)
	if err != nil || image.Meta.Steps != 2 || strings.Contains(string(log), "a.o") {
		t.Errorf("%d steps, want 2, of b and c: %s (%v)", image.Meta.Steps, log, err)
	}
	if image := k.mustBuild(); !image.Cached {
		t.Error("built twice")
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
