package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The probe's program itself, run under TCG: it must get through.
func TestPayloadRuns(t *testing.T) {
	t.Parallel()
	if *kernelFlag == "" {
		t.Skip("runs QEMU: run it with -kernel path/to/vmlinux")
	}
	kernel := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(kernel, payload(), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen stopwatch
	m := Machine{Kernel: kernel, MemoryMiB: MinMemoryMiB, CPUs: 1, Accel: Accel{Name: TCG}}
	res, err := Run(context.Background(), m, Options{Console: &seen, Deadline: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if res.Reason != Reset || seen.begun.IsZero() || seen.ended.IsZero() {
		t.Errorf("ended by %s (%s), marks %v, console %q", res.Reason, res.Detail, seen, res.ConsoleTail)
	}
	t.Logf("loop took %v of %v", seen.took(), res.Times.End)
}

func TestProbeHere(t *testing.T) {
	t.Parallel()
	if *kernelFlag == "" {
		t.Skip("runs QEMU: run it with -kernel path/to/vmlinux")
	}
	cache := t.TempDir()
	a, err := Pick(context.Background(), Auto, "", cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", a)
	if a.Took > ProbeTime+2*time.Second {
		t.Errorf("the probe took %v", a.Took)
	}
	again, err := Pick(context.Background(), Auto, "", cache)
	if err != nil || again.Name != a.Name || again.Why != a.Why || again.Took != 0 {
		t.Errorf("remembered %+v, %v", again, err)
	}
}
