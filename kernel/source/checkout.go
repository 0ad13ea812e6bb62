package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/runvm/runvm/internal/sh"
)

// Checkout makes the folder dir hold exactly the content of tree. Files that
// already have the content wanted keep their modification time, so that make
// rebuilds only what changed; an interrupted Checkout is completed by the
// next. Nothing is ever written outside of dir, but for git's index of it in
// the file "<dir>.index". A folder without that index must be empty. The
// caller holds a lock on dir.
func Checkout(ctx context.Context, run sh.Runner, tree *Tree, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := checkout(ctx, run, tree, dir); err != nil {
		return fmt.Errorf("check out %.12s into %s: %w", tree.ID, dir, GitError(err))
	}
	return nil
}

func checkout(ctx context.Context, run sh.Runner, tree *Tree, dir string) error {
	if err := checkLinks(ctx, run, tree); err != nil {
		return err
	}
	if err := claim(ctx, run, tree, dir); err != nil {
		return err
	}
	reset := func() error {
		return workTree(ctx, run, tree, dir, "-c", "checkout.workers=0", "read-tree", "--reset", "-u", tree.ID).Run()
	}
	err := reset()
	var failed *sh.Error
	if errors.As(err, &failed) && strings.Contains(failed.Stderr, "index file") {
		// A machine that lost its power can leave an index that is not one.
		if err := abandon(ctx, run, tree, dir); err != nil {
			return err
		}
		err = reset()
	}
	if err != nil {
		return err
	}
	return workTree(ctx, run, tree, dir, "clean", "-ffdxq").Run()
}

func indexOf(dir string) string { return dir + ".index" }

// workTree is a git command on the tree's repository with dir as work tree.
func workTree(ctx context.Context, run sh.Runner, tree *Tree, dir string, args ...string) *sh.Cmd {
	cmd := tree.Git(ctx, run, append([]string{"-c", "core.bare=false"}, args...)...)
	cmd.Dir = dir
	return cmd.With("GIT_WORK_TREE="+dir, "GIT_INDEX_FILE="+indexOf(dir))
}

// claim makes dir a folder that Checkout may write to and delete from.
func claim(ctx context.Context, run sh.Runner, tree *Tree, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("it is a link")
	}
	if err := os.Remove(indexOf(dir) + ".lock"); err != nil && !os.IsNotExist(err) {
		return err
	}
	if _, err := os.Stat(indexOf(dir)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return errors.New("the folder has content that is not from here")
	}
	return workTree(ctx, run, tree, dir, "read-tree", "--empty").Run()
}

// abandon starts dir, claimed before, anew.
func abandon(ctx context.Context, run sh.Runner, tree *Tree, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Remove(indexOf(dir)); err != nil {
		return err
	}
	return claim(ctx, run, tree, dir)
}

// checkLinks refuses a tree with a link that points out of it: a build would
// read, or write, through it.
func checkLinks(ctx context.Context, run sh.Runner, tree *Tree) error {
	out, err := tree.Git(ctx, run, "ls-tree", "-rz", tree.ID).Output()
	if err != nil {
		return err
	}
	var names, ids []string
	for _, entry := range splitZ(out) {
		meta, name, _ := strings.Cut(entry, "\t")
		if fields := strings.Fields(meta); len(fields) == 3 && fields[0] == "120000" {
			names, ids = append(names, name), append(ids, fields[2])
		}
	}
	if len(ids) == 0 {
		return nil
	}
	targets, err := readBlobs(ctx, run, tree, ids)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := CheckLink(name, targets[i]); err != nil {
			return err
		}
	}
	return nil
}

// readBlobs returns the content of small blobs.
func readBlobs(ctx context.Context, run sh.Runner, tree *Tree, ids []string) ([]string, error) {
	cmd := tree.Git(ctx, run, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(bytes.NewReader(out))
	var blobs []string
	for range ids {
		head, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(head)
		size, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil || size < 0 || size > len(out) {
			return nil, fmt.Errorf("read object: git says %q", strings.TrimSpace(head))
		}
		blob := make([]byte, size+1) // and the end of line after it
		if _, err := io.ReadFull(r, blob); err != nil {
			return nil, err
		}
		blobs = append(blobs, string(blob[:size]))
	}
	return blobs, nil
}
