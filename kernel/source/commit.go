package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// ErrNoCommit is a commit that a git tree does not have.
var ErrNoCommit = errors.New("no such commit")

// Commit returns the tree of one commit of the git tree at path, whatever is
// checked out there: rev is a commit's id, a tag, a branch. The user's
// repository is only read. A folder that is no git tree, or one without the
// commit, is ErrNoCommit.
func (s *Store) Commit(ctx context.Context, path, rev string) (*Tree, error) {
	dir, err := filepath.Abs(path)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w: %w", path, ErrNotKernel, err)
	}
	base := localBase(dir)
	release, err := s.lock(ctx, base)
	if err != nil {
		return nil, err
	}
	defer release()
	tree, err := s.commit(ctx, dir, base, rev)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", path, err)
	}
	return tree, nil
}

// localBase is the Base of what comes out of the folder dir.
func localBase(dir string) string { return fmt.Sprintf("local-%.12x", sha256.Sum256([]byte(dir))) }

func (s *Store) commit(ctx context.Context, dir, base, rev string) (*Tree, error) {
	repo, err := filepath.Abs(s.repo(base))
	if err != nil {
		return nil, err
	}
	if err := makeRepo(ctx, s.Sh, repo); err != nil {
		return nil, err
	}
	l := &localTree{run: s.Sh, sink: s.sink(), dir: dir, repo: repo}
	id, err := l.resolve(ctx, rev)
	if err != nil {
		return nil, err
	}
	tree := &Tree{Name: dir, Base: base, GitDir: repo, Fetched: time.Now().UTC().Truncate(time.Second)}
	if tree.ID, err = l.fetch(ctx, id); err != nil {
		return nil, GitError(err)
	}
	at, err := l.user(ctx, "describe", "--always", "--tags", "--abbrev=12", id).Output()
	if err != nil {
		at = []byte(id[:12])
	}
	tree.Name += " " + strings.TrimSpace(string(at))
	tree.Version, err = treeVersion(ctx, s.Sh, tree)
	return tree, err
}

// resolve returns the id of the commit that rev names in the user's repository.
func (l *localTree) resolve(ctx context.Context, rev string) (string, error) {
	if _, err := os.Stat(l.dir); err != nil || rev == "" || strings.ContainsAny(rev, "\n\x00") {
		return "", fmt.Errorf("%w %.60q", ErrNoCommit, rev)
	}
	out, err := l.user(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}").Output()
	if sh.ExitCode(err) > 0 {
		return "", fmt.Errorf("%w %.60q", ErrNoCommit, rev)
	}
	return strings.TrimSpace(string(out)), GitError(err)
}

// fetch takes a commit without its history into the private repository and
// returns the id of its tree.
func (l *localTree) fetch(ctx context.Context, commit string) (string, error) {
	ref := "refs/runvm/" + commit
	tree := func() (string, error) { return treeOf(ctx, l.run, l.repo, ref) }
	if id, err := tree(); id != "" || err != nil {
		return id, err
	}
	step := l.sink.Start("fetch "+commit[:12]+" from "+l.dir, 0, progress.Items)
	defer step.Done("")
	// Searching for deltas would take minutes for what stays on this machine.
	upload := "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true -c pack.window=0 upload-pack"
	err := git(ctx, l.run, l.repo, "fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
		"--upload-pack="+upload, "--", l.dir, "+"+commit+":"+ref).Run()
	if err != nil {
		return "", err
	}
	return tree()
}
