package vm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPromptDisksAreProbed(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]bool{
		"read word; test $word = quit": true,
		"exit 1":                       false, // built without
		"echo 'Unable to use linux io_uring, falling back to thread pool' >&2": false, // forbidden
	} {
		qemu := filepath.Join(t.TempDir(), "qemu")
		if err := os.WriteFile(qemu, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := canPrompt(t.Context(), qemu, Disk{Path: "x"}); got != want {
			t.Errorf("%s: %t, want %t", script, got, want)
		}
	}
}

// Only a guest that counts instructions has a disk that is read at once, and only
// where that can be.
func TestPromptDisks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ deterministic, can bool }{{true, true}, {true, false}, {false, false}} {
		m := Machine{Kernel: "vmlinux", MemoryMiB: 64, CPUs: 1, Accel: Accel{Name: TCG}, Deterministic: c.deterministic, prompt: c.can, Disks: []Disk{{Path: "x"}}}
		if got := strings.Contains(Line(m), prompt); got != c.can {
			t.Errorf("%+v: %s", c, Line(m))
		}
		r := newRun("qemu", m, Options{}, &channels{})
		if r.result.DiskWaits != (c.deterministic && !c.can) {
			t.Errorf("%+v: the disk waits: %t", c, r.result.DiskWaits)
		}
	}
}

// A host without room is not the guest's fault.
func TestFullHostIsAnError(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]bool{
		`{"device":"disk0","nospace":true,"operation":"write","action":"stop","reason":"No space left on device"}`: true,
		`{"device":"disk0","nospace":false,"operation":"read","action":"report","reason":"Input/output error"}`:    false,
		`{`: false,
	} {
		if err := (Event{Name: "BLOCK_IO_ERROR", Data: data}).fault(); errors.Is(err, syscall.ENOSPC) != want {
			t.Errorf("%s: %v", data, err)
		}
	}
}
