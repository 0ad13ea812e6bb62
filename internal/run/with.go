package run

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runvm/runvm/initramfs"
	"github.com/runvm/runvm/internal/distro"
)

// withDir is where in the guest the programs of Guest.With lie, which its PATH
// has after u-root's commands.
const withDir = "/usr/bin"

// addWith adds programs of the host that the guest has beside what it runs: files
// of dir, or names to be found in PATH. What distro knows is installed first.
func (c *Conductor) addWith(ctx context.Context, ps *programs, dir string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := checkWith(dir, names); err != nil {
		return err
	}
	needs := slices.DeleteFunc(distro.Programs(), func(n distro.Need) bool { return !slices.Contains(names, n.Tool) })
	if err := c.Host.Ensure(ctx, needs); err != nil {
		return err
	}
	for _, name := range names {
		source, err := withSource(dir, name)
		if err != nil {
			return err
		}
		prog, err := initramfs.NewProgram(source, filepath.Join(withDir, filepath.Base(name)))
		if err != nil {
			return usagef("-with %s: %w", name, err)
		}
		ps.files = append(ps.files, prog.Files...)
		ps.commands = ps.commands || prog.Script
	}
	return nil
}

// withSource is the file that name stands for.
func withSource(dir, name string) (string, error) {
	switch {
	case filepath.IsAbs(name):
		return name, nil
	case strings.Contains(name, "/"):
		return filepath.Join(dir, name), nil
	}
	source, err := exec.LookPath(name)
	if err != nil {
		return "", usagef("-with %s: no such program here", name)
	}
	return source, nil
}

// checkWith refuses names that cannot be those of programs, and two of one name.
func checkWith(dir string, names []string) error {
	seen := make(map[string]bool)
	for _, name := range names {
		base := filepath.Base(name)
		if seen[base] {
			return usagef("-with %s: the guest would have two programs called %s", name, base)
		}
		seen[base] = true
		if !strings.Contains(name, "/") {
			continue // it may be installed yet
		}
		source, err := withSource(dir, name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(source); err != nil {
			return usagef("-with %s: no such file", name)
		}
	}
	return nil
}
