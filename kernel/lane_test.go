package kernel

import (
	"strings"
	"testing"
)

// TestProgressKnowsWhatIsAhead is about the length of the step that builds:
// from nothing, and after a make that died half-way.
func TestProgressKnowsWhatIsAhead(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.files["Kbuild"] = "obj-y += x.o y.o a.o b.o\nobj-$(CONFIG_TOY) += toy.o\nobj-$(CONFIG_PLAY) += play.o\n"
	k.files["behave"] = "kill -KILL $$"
	if _, err := k.build(); err == nil {
		t.Fatal("a make that was killed passed")
	}
	k.files["behave"] = ":"
	k.mustBuild()
	// Five objects and an archive, 1.22 commands each; a.o and b.o are there.
	for _, want := range []string{"(" + k.fragment + ") 7", "(" + k.fragment + ") 5"} {
		if !strings.Contains(k.steps.String(), "build toy "+want) {
			t.Errorf("no step %q among\n%s", want, k.steps)
		}
	}
}
