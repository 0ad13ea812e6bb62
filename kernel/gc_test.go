package kernel

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestGC(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	old := k.mustBuild()
	k.files["a.c"] = "int newer;"
	fresh := k.mustBuild()
	torn := filepath.Join(k.b.Cache, "image", tmpPrefix+old.Key+"-1")
	if err := os.Mkdir(torn, 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	lastWeek := now.Add(-7 * 24 * time.Hour)
	if err := os.Chtimes(old.Dir, lastWeek, lastWeek); err != nil {
		t.Fatal(err)
	}
	list, err := k.b.List()
	if err != nil || len(list) != 4 || list[0].Name != old.Key || list[0].Label != "6.12.117-toy "+k.fragment {
		t.Fatalf("List: %+v, %v", list, err)
	}
	removed, err := k.b.GC(24*time.Hour, now)
	if err != nil || len(removed) != 2 {
		t.Fatalf("GC: %+v, %v", removed, err)
	}
	if got := k.stored(); len(got) != 1 || got[0] != fresh.Key {
		t.Errorf("store holds %v, want only %s", got, fresh.Key)
	}
	if _, err := k.b.GC(0, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if list, err := k.b.List(); err != nil || len(list) != 0 {
		t.Errorf("after all was removed: %+v, %v", list, err)
	}
	k.mustBuild()
}

func TestGCLeavesWhatIsBusy(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.mustBuild()
	unlock, err := k.b.lock(context.Background(), "lane-toy-6.12", "")
	if err != nil {
		t.Fatal(err)
	}
	removed, err := k.b.GC(0, time.Now().Add(time.Hour))
	unlock()
	if err != nil || len(removed) != 1 || removed[0].Kind != KindImage {
		t.Errorf("GC: %+v, %v", removed, err)
	}
}
