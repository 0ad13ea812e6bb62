package vm

import (
	"os"
	"path/filepath"
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
