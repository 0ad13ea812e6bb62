package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPickTakesWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, want := range []string{KVM, TCG} {
		if a, err := Pick(context.Background(), want, "", ""); err != nil || a.Name != want || a.Why != "asked for" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if _, err := Pick(context.Background(), "hax", "", ""); err == nil || err.Error() != `accelerator "hax": want auto, kvm or tcg` {
		t.Error(err)
	}
	if _, err := Pick(context.Background(), Auto, "/nowhere/qemu", ""); !errors.Is(err, ErrNoQEMU) {
		t.Error(err)
	}
}

func TestMissingSaysWhyKVMCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, want := missing(filepath.Join(dir, "kvm")), "this machine has no "+filepath.Join(dir, "kvm"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := missing(dir); !strings.HasPrefix(got, "KVM cannot be used: ") {
		t.Errorf("%q", got)
	}
	if got := missing(os.DevNull); got != "" {
		t.Errorf("%q", got)
	}
}

// The probe against QEMUs that behave like those of machines without KVM.
func TestProbeFallsBack(t *testing.T) {
	t.Parallel()
	for scene, want := range map[string]string{
		"refuses":   "/dev/kvm opens, but QEMU cannot use it: qemu: no such machine",
		"crashes":   "/dev/kvm opens, but QEMU cannot use it: QEMU ended by itself: signal: killed",
		"chatters":  "/dev/kvm opens, but no guest code ran under it within 2s",
		"begins":    "/dev/kvm opens, but guest code under it was not done within 2s",
		"gives-up":  "/dev/kvm opens, but guest code under it failed (reset)",
		"completes": "",
	} {
		t.Run(scene, func(t *testing.T) {
			t.Parallel()
			a, err := probe(context.Background(), alias(t, qemuPrefix+scene))
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				if a.Name != KVM || !strings.HasPrefix(a.Why, "guest code ran under KVM in ") {
					t.Errorf("%+v", a)
				}
			} else if a.Name != TCG || !strings.HasPrefix(a.Why, want) {
				t.Errorf("%+v, want %q", a, want)
			}
		})
	}
}

func TestProbeRefusesSlowKVM(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1, 0)
	for took, want := range map[time.Duration]string{
		maxProbe:                    "",
		maxProbe + time.Millisecond: "guest code under KVM took 1.001s where 1s is plenty",
	} {
		s := stopwatch{begun: begun, ended: begun.Add(took)}
		if got := s.fault(&Result{Reason: Reset}); got != want {
			t.Errorf("%v: %q, want %q", took, got, want)
		}
	}
}

func TestProbeRemembers(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "new", "cache")
	if _, ok := recall(cache, "k"); ok {
		t.Error("recalled from nothing")
	}
	a := Accel{Name: TCG, Why: "because", Took: time.Second}
	if err := remember(cache, "k", a); err != nil {
		t.Fatal(err)
	}
	a.Took = 0
	if got, ok := recall(cache, "k"); !ok || got != a {
		t.Errorf("%+v, %t", got, ok)
	}
	if _, ok := recall(cache, "other"); ok {
		t.Error("recalled another key's")
	}
	old := time.Now().Add(-memoryTime - time.Minute)
	if err := os.Chtimes(probeFile(cache, "k"), old, old); err != nil {
		t.Fatal(err)
	}
	if _, ok := recall(cache, "k"); ok {
		t.Error("recalled what is too old")
	}
	if err := os.WriteFile(probeFile(cache, "torn"), []byte(`{"name":"kv`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := recall(cache, "torn"); ok {
		t.Error("recalled a torn file")
	}
}

func TestProbeKeyFollowsQEMU(t *testing.T) {
	t.Parallel()
	qemu := filepath.Join(t.TempDir(), "qemu")
	var keys []string
	for _, text := range []string{"one", "three"} {
		if err := os.WriteFile(qemu, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		key, err := probeKey(qemu)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if keys[0] == keys[1] {
		t.Error("another QEMU has the same key")
	}
}
