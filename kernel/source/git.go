package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/runvm/runvm/internal/sh"
)

// A MissingTool is a program of the host that is not installed.
type MissingTool struct {
	Tool string // "git"
	For  string // what it is needed for: "kernel sources"
}

// Error names the program and its purpose.
func (e *MissingTool) Error() string {
	return fmt.Sprintf("%s is not installed: it is needed for %s", e.Tool, e.For)
}

// Git returns a git command on the repository that holds the tree. It sees
// neither the configuration nor the GIT_ variables of the user.
func (t *Tree) Git(ctx context.Context, run sh.Runner, args ...string) *sh.Cmd {
	return git(ctx, run, t.GitDir, args...)
}

// git is a command on the private repository gitDir. Its working folder is
// gitDir: a path inside of some other repository would make git skip patches
// silently when that repository ignores it.
func git(ctx context.Context, run sh.Runner, gitDir string, args ...string) *sh.Cmd {
	return clean(run.Command(ctx, gitDir, "git", args...)).With(
		"GIT_DIR="+gitDir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
}

// clean takes the caller's GIT_ variables away, which a hook or an alias sets
// and which would lead git to the wrong repository, and fixes the language of
// the messages that are read back.
func clean(cmd *sh.Cmd) *sh.Cmd {
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	return cmd.With("LC_ALL=C")
}

// repoConfig keeps what git writes quick to write, and never thrown away:
// nothing refers to the trees of patched kernels.
const repoConfig = `[core]
	repositoryFormatVersion = 0
	bare = true
	fileMode = true
	symlinks = true
	compression = 1
[gc]
	auto = 0
[advice]
	detachedHead = false
`

// repoAttributes overrule those of a tree: its bytes are taken as they are.
const repoAttributes = "* -text !eol !ident !filter !working-tree-encoding\n"

// makeRepo creates the bare repository gitDir unless it exists.
func makeRepo(ctx context.Context, run sh.Runner, gitDir string) error {
	if _, err := os.Stat(filepath.Join(gitDir, "HEAD")); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(gitDir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(gitDir), ".init-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := git(ctx, run, tmp, "init", "-q", "--bare", "--template=").Run(); err != nil {
		return GitError(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "config"), []byte(repoConfig), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tmp, "info"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "info", "attributes"), []byte(repoAttributes), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, gitDir)
}

// GitError gives the failures of git that are not git's fault their names: a
// *MissingTool, ErrDiskFull. Any other error, and nil, it returns as it is.
func GitError(err error) error { return toolError(err, "git", "kernel sources") }

// toolError turns a missing program and a full disk into errors of their own.
func toolError(err error, tool, purpose string) error {
	var failed *sh.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return &MissingTool{Tool: tool, For: purpose}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.As(err, &failed) && noSpace(failed.Stderr):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// noSpace reads the three ways git and xz have of saying so.
func noSpace(stderr string) bool {
	return strings.Contains(stderr, "No space left on device") || strings.Contains(stderr, "Disk quota exceeded") ||
		strings.Contains(stderr, "Out of diskspace")
}

// feed runs cmd with what write writes as its standard input. When both fail
// the command's own complaint is returned: the broken pipe is its effect.
func feed(cmd *sh.Cmd, write func(io.Writer) error) error {
	tail := &sh.Tail{Max: 4 << 10}
	if cmd.Stderr == nil {
		cmd.Stderr = tail
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return &sh.Error{Name: cmd.Args[0], Err: err}
	}
	writeErr := write(in)
	closeErr := in.Close()
	if err := cmd.Wait(); err != nil && (writeErr == nil || errors.Is(writeErr, syscall.EPIPE)) {
		return &sh.Error{Name: cmd.Args[0], Stderr: tail.String(), Err: err}
	}
	return errors.Join(writeErr, ignoreClosed(closeErr))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
