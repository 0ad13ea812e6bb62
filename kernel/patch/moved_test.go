package patch

import "testing"

func TestMovedLinesAreKnown(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"1.patch": asMail("[PATCH] move", `diff --git a/fs/splice.c b/fs/splice.c
--- a/fs/splice.c
+++ b/fs/splice.c
@@ -1,4 +1,3 @@
 1
-  2  two
-3
 4
+new
@@ -10,2 +9,3 @@
 10
+2 two
 11
`)})
	p := mustLoad(t, dir)[0].Patches[0]
	for line, want := range map[int]bool{1: false, 3: false, 10: true, 9: false, 99: false} {
		if got := p.Moved("fs/splice.c", line); got != want {
			t.Errorf("line %d moved: %v, want %v", line, got, want)
		}
	}
	if p.Moved("fs/old.c", 10) {
		t.Error("a line of another file")
	}
}
