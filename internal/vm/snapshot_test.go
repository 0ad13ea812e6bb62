package vm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// saved returns a machine whose QEMU plays the scene, with a payload, and
// options that allow snapshots.
func saved(t *testing.T, scene, payload string) (Machine, Options) {
	t.Helper()
	m := standIn(t, scene)
	m.Payload = []string{filepath.Join(t.TempDir(), "run.cpio")}
	if err := os.WriteFile(m.Payload[0], []byte(payload), 0o644); err != nil {
		t.Fatal(err)
	}
	return m, Options{Snapshots: filepath.Join(t.TempDir(), "snapshot"), Deadline: time.Minute}
}

// entries counts what is in the folder, without locks.
func entries(t *testing.T, dir string) (n int) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if e.IsDir() {
			n++
		}
	}
	return n
}

func TestRunGoesOnFromASnapshot(t *testing.T) {
	t.Parallel()
	m, o := saved(t, "saves", "tests")
	var booted time.Time
	for i := range 3 {
		got := boot(t, m, o)
		text := got.console.String()
		if !strings.HasPrefix(text, "booted\nwent on with 268435456 bytes <nil>: ") || !strings.HasSuffix(text, "tests\"\n") {
			t.Errorf("run %d: console %q", i, text)
		}
		if len(got.records) != 4 || got.records[1].Type != wire.Ready || got.records[3].Type != wire.Done || got.BadLines != 0 {
			t.Errorf("run %d: records %+v", i, got.records)
		}
		if got.Reason != PowerOff || got.Booted.IsZero() || got.Times.Resumed == 0 || strings.Contains(strings.Join(got.Args, " "), "-append") {
			t.Errorf("run %d: %+v", i, got.Result)
		}
		if i > 0 && !got.Booted.Equal(booted) {
			t.Errorf("run %d: booted %v, before %v", i, got.Booted, booted)
		}
		booted = got.Booted
	}
	m.MemoryMiB++
	if got := boot(t, m, o); got.Booted.Equal(booted) || entries(t, o.Snapshots) != 2 {
		t.Errorf("another machine went on from the same snapshot")
	}
}

func TestRunBootsWhereNoSnapshotCanBe(t *testing.T) {
	t.Parallel()
	for scene, change := range map[string]func(*Machine){
		"knows no memory": func(*Machine) {},
		"power-off":       func(*Machine) {}, // a PID 1 that cannot have the payload's memory
		"saves":           func(m *Machine) { m.Payload = nil },
		"floods":          func(m *Machine) { m.Disks = []Disk{{Path: os.DevNull}} },
	} {
		t.Run(scene, func(t *testing.T) {
			t.Parallel()
			m, o := saved(t, scene, "tests")
			change(&m)
			if scene == "saves" {
				o.Deadline = time.Second // it waits for ever
			}
			got := boot(t, m, o)
			if !got.Booted.IsZero() || !strings.Contains(got.console.String(), "\n") {
				t.Errorf("%+v, console %q", got.Result, got.console.String())
			}
		})
	}
}

// A guest that does not get ready is the run; nothing of it is kept.
func TestBootThatFailsIsTheRun(t *testing.T) {
	t.Parallel()
	for scene, want := range map[string]Reason{"panic": Panicked, "reset": Reset, "silent": Silence, "crashes": QEMUExit} {
		t.Run(scene, func(t *testing.T) {
			t.Parallel()
			m, o := saved(t, scene, "tests")
			o.Silence = time.Second
			got := boot(t, m, o)
			if got.Reason != want || !got.Booted.IsZero() || entries(t, o.Snapshots) != 0 {
				t.Errorf("ended by %s, booted %v", got.Reason, got.Booted)
			}
			if scene == "panic" && got.console.String() != "Kernel panic - not syncing\n" {
				t.Errorf("console %q", got.console.String())
			}
		})
	}
}

func TestSpoiltSnapshotIsMadeAgain(t *testing.T) {
	t.Parallel()
	m, o := saved(t, "spoils", "tests")
	got := boot(t, m, o)
	if got.Reason != PowerOff || strings.Count(got.console.String(), "booted") != 1 {
		t.Errorf("ended by %s, console %q", got.Reason, got.console.String())
	}
}

func TestStoppedRunLeavesNoSnapshot(t *testing.T) {
	t.Parallel()
	m, o := saved(t, "silent", "tests")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	got, err := Run(ctx, m, o)
	if err != nil || got.Reason != Killed || entries(t, o.Snapshots) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSweepKeepsTheLastUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 * keepSnapshots {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(i) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, age := range map[string]time.Duration{temporary + "old": 2 * time.Hour, temporary + "now": 0} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
	if n := entries(t, dir); n != keepSnapshots {
		t.Errorf("%d are left, want %d and the one in the making", n, keepSnapshots-1)
	}
	for _, name := range []string{"a", temporary + "now"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// A real guest, saved and loaded: each goes on from where the first was, with
// a payload of its own, several at once too.
func TestGuestsGoOnFromASnapshot(t *testing.T) {
	m := machine(t, "ready")
	o := Options{Snapshots: t.TempDir()}
	var group sync.WaitGroup
	for i := range 4 {
		payload := filepath.Join(t.TempDir(), "run.cpio")
		text := bytes.Repeat([]byte{byte('a' + i)}, 4096)
		if err := os.WriteFile(payload, text, 0o644); err != nil {
			t.Fatal(err)
		}
		m := m
		m.Payload = []string{payload}
		group.Go(func() {
			got := boot(t, m, o)
			if got.Reason != PowerOff || got.Booted.IsZero() {
				t.Errorf("ended by %s (%s), booted %v", got.Reason, got.Detail, got.Booted)
			}
			if n := strings.Count(got.console.String(), "Linux version"); n != 1 {
				t.Errorf("%d boots on the console", n)
			}
			last := got.records[len(got.records)-2]
			if !strings.HasSuffix(last.Text, string(text)) {
				t.Errorf("the guest got %.200q", last.Text)
			}
			t.Logf("resumed %v, over %v", got.Times.Resumed, got.Times.End)
		})
	}
	group.Wait()
}
