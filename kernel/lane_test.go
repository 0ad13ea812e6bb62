package kernel

import (
	"fmt"
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
	// Five objects and an archive; later a.o and b.o are there.
	for _, left := range []int{besides + 6, besides + 4} {
		want := fmt.Sprintf("build toy (%s) %d", k.fragment, left)
		if !strings.Contains(k.steps.String(), want) {
			t.Errorf("no step %q among\n%s", want, k.steps)
		}
	}
}
