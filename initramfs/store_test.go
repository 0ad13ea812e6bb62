package initramfs

import (
	"os"
	"testing"
	"time"
)

// TestPartInUseIsNotSweptAway: an old part that is asked for stays when the next
// one is new, and one that is not asked for goes.
func TestPartInUseIsNotSweptAway(t *testing.T) {
	t.Parallel()
	b := &Builder{Cache: t.TempDir()}
	part := func(text string) string {
		t.Helper()
		name, err := b.part("run", []File{{Path: "/f", Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	used, left := part("tests"), part("other tests")
	old := time.Now().Add(-2 * keep)
	for _, name := range []string{used, left} {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if part("tests") != used {
		t.Fatal("the same files are another part")
	}
	part("a new plan")
	if _, err := os.Stat(used); err != nil {
		t.Errorf("the part in use is gone: %v", err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("a part that was not used for long is still there")
	}
}
