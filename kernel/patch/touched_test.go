package patch

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func TestTouchedLines(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	dir := folder(t, map[string]string{
		"0001-a.patch": asMail("a", change(50, "fifty")+create("fs/new.c", "new")),
		// git finds the line though the patch is off by ten
		"0002-b.patch": asMail("b", "diff --git a/fs/splice.c b/fs/splice.c\n--- a/fs/splice.c\n+++ b/fs/splice.c\n"+
			"@@ -13,5 +13,8 @@\n 3\n 4\n 5\n+x\n+y\n+z\n 6\n 7\n"),
		// takes the middle of what 0002 wrote, and writes there
		"0003-c.patch": asMail("c", "diff --git a/fs/splice.c b/fs/splice.c\n--- a/fs/splice.c\n+++ b/fs/splice.c\n"+
			"@@ -5,5 +5,6 @@\n 5\n x\n-y\n+Y\n+YY\n z\n 6\n"),
		"0004-d.patch": asMail("d", "diff --git a/fs/old.c b/fs/old.c\ndeleted file mode 100644\n--- a/fs/old.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n"),
		// takes a line away before everything else
		"0005-e.patch": asMail("e", "diff --git a/fs/splice.c b/fs/splice.c\n--- a/fs/splice.c\n+++ b/fs/splice.c\n@@ -1,3 +1,2 @@\n 1\n-2\n 3\n"),
	})
	_, applied, err := Apply(t.Context(), sh.Runner{}, tree, mustLoad(t, dir), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := TouchedLines(t.Context(), sh.Runner{}, tree, applied)
	if err != nil {
		t.Fatal(err)
	}
	want := Touched{
		"fs/new.c": {{1, 1, "0001-a.patch"}},
		"fs/splice.c": {
			{5, 5, "0002-b.patch"}, {6, 7, "0003-c.patch"}, {8, 8, "0002-b.patch"},
			{53, 53, "0001-a.patch"}, // 50, four lines more above it, one less
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for line, want := range map[int]string{4: "", 5: "0002-b.patch", 7: "0003-c.patch", 9: "", 53: "0001-a.patch"} {
		if got := got.At("fs/splice.c", line); got != want {
			t.Errorf("line %d: %q, want %q", line, got, want)
		}
	}
}

func TestTouchedLinesOfNoPatch(t *testing.T) {
	t.Parallel()
	if got, err := TouchedLines(t.Context(), sh.Runner{}, nil, nil); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}
