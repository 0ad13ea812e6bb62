package run

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/runvm/runvm/initramfs"
)

func TestGuestHasProgramsOfTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "check"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ps := &programs{}
	c := &Conductor{}
	if err := c.addWith(t.Context(), ps, dir, []string{"./check", "sh"}); err != nil {
		t.Fatal(err)
	}
	if !ps.commands {
		t.Error("a script without a shell")
	}
	for _, want := range []string{"/usr/bin/check", "/usr/bin/sh"} {
		if !slices.ContainsFunc(ps.files, func(f initramfs.File) bool { return f.Path == want && f.Mode == 0o755 }) {
			t.Errorf("the guest has no %s, but %v", want, ps.files)
		}
	}
	if len(ps.tests) != 0 {
		t.Errorf("they are run: %v", ps.tests)
	}
}

func TestGuestIsRefusedWhatCannotRunThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("text\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{"./text"}, {"./none"}, {"runvm-no-such-program"}, {"./text", "text"}, {dir}} {
		c := &Conductor{}
		if err := c.addWith(t.Context(), &programs{}, dir, names); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v, want wrong usage", names, err)
		}
	}
}
