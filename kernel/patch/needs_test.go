package patch

import (
	"os/exec"
	"strings"
	"testing"
)

func TestPrerequisitesAreFound(t *testing.T) {
	t.Parallel()
	dir := gitTree(t)
	base, err := (&Loader{}).output(t.Context(), dir, "rev-parse", "base")
	if err != nil {
		t.Fatal(err)
	}
	id := func(rev string) string {
		out, err := exec.Command("sh", "-c", "git -C "+dir+" -c diff.noprefix=false -c format.signOff=false format-patch --stdout -1 "+rev+" | git patch-id --stable").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))[0]
	}
	one, two, absent := id("main~1"), id("main"), strings.Repeat("0", 40)
	needs := Series{Path: "mine", Needs: []string{one, two, absent}, Patches: mustLoad(t, folder(t, map[string]string{"1.patch": change(3, "x")}))[0].Patches}
	found, missing, err := (&Loader{}).Needed(t.Context(), dir, base, []Series{needs})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Title != "größer: two" || found[1].Title != "four" {
		t.Errorf("found %d series: %+v", len(found), found)
	}
	if len(missing) != 1 || missing[0] != absent {
		t.Errorf("missing %q", missing)
	}
	// One that comes with -patches is not looked for.
	found, missing, err = (&Loader{}).Needed(t.Context(), dir, base, []Series{found[0], needs})
	if err != nil || len(found) != 1 || found[0].Title != "four" || len(missing) != 1 {
		t.Errorf("with one given: %+v, %q, %v", found, missing, err)
	}
	if found, missing, err := (&Loader{}).Needed(t.Context(), dir, base, []Series{{Path: "x"}}); found != nil || missing != nil || err != nil {
		t.Errorf("a series without needs: %v, %v, %v", found, missing, err)
	}
}
