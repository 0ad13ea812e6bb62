package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/runvm/runvm/internal/sh"
)

// Extract writes files of tree into the folder dir, which must be new or empty:
// those that paths name, with all that is below them, or every one.
func Extract(ctx context.Context, run sh.Runner, tree *Tree, dir string, paths ...string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := extract(ctx, run, tree, dir, paths); err != nil {
		return fmt.Errorf("write files of %.12s into %s: %w", tree.ID, dir, GitError(err))
	}
	return nil
}

func extract(ctx context.Context, run sh.Runner, tree *Tree, dir string, paths []string) error {
	if err := checkLinks(ctx, run, tree); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return errors.New("the folder is not empty")
	}
	own, err := os.MkdirTemp("", "runvm-source-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(own) }()
	if len(paths) == 0 {
		paths = []string{"."}
	}
	args := append([]string{"-c", "core.bare=false", "checkout", "-q", tree.ID, "--"}, paths...)
	cmd := tree.Git(ctx, run, args...)
	cmd.Dir = dir
	return cmd.With("GIT_WORK_TREE="+dir, "GIT_INDEX_FILE="+filepath.Join(own, "index"), "GIT_LITERAL_PATHSPECS=1").Run()
}
