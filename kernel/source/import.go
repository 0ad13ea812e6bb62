package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// importXZ puts the .tar.xz archive r, size bytes long and called name for
// people, into the repository of tree.Base and completes tree. An archive
// that is there already, known by tree.Digest, is not read again.
func (s *Store) importXZ(ctx context.Context, tree *Tree, name string, r io.Reader, size int64) error {
	tree.GitDir = s.repo(tree.Base)
	if err := makeRepo(ctx, s.Sh, tree.GitDir); err != nil {
		return err
	}
	ref := "refs/runvm/" + tree.Digest
	id, err := treeOf(ctx, s.Sh, tree.GitDir, ref)
	if err != nil {
		return err
	}
	if id == "" {
		step := s.sink().Start("unpack "+name, size, progress.Bytes)
		id, err = s.unpack(ctx, tree.GitDir, progress.Reader(r, step, size))
		step.Done("")
		if err == nil {
			// Only now that the archive is known to have been whole.
			err = GitError(git(ctx, s.Sh, tree.GitDir, "update-ref", ref, id).Run())
		}
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	tree.ID, tree.Fetched = id, time.Now().UTC().Truncate(time.Second)
	tree.Version, err = treeVersion(ctx, s.Sh, tree)
	return err
}

// unpack imports the .tar.xz archive that r is.
func (s *Store) unpack(ctx context.Context, gitDir string, r io.Reader) (string, error) {
	xz := s.Sh.Command(ctx, "", "xz", "-T0", "-dc")
	xz.Stdin = r
	var id string
	err := filter(xz, func(plain io.Reader) (err error) {
		id, err = importTar(ctx, s.Sh, gitDir, plain)
		return err
	})
	return id, toolError(err, "xz", "unpacking kernel sources")
}

// filter runs cmd and lets use read its output. Of two errors it returns the
// cause: a command that failed by itself broke its reader, a reader that gave
// up broke the command.
func filter(cmd *sh.Cmd, use func(io.Reader) error) error {
	tail := &sh.Tail{Max: 4 << 10}
	cmd.Stderr = tail
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return &sh.Error{Name: cmd.Args[0], Err: err}
	}
	useErr := use(out)
	if useErr == nil {
		_, useErr = io.Copy(io.Discard, out)
	}
	_ = out.Close() // ends, by SIGPIPE, a command that is not done
	waitErr := cmd.Wait()
	if waitErr != nil {
		waitErr = &sh.Error{Name: cmd.Args[0], Stderr: tail.String(), Err: waitErr}
	}
	if useErr != nil && (sh.ExitCode(waitErr) <= 0 || errors.Is(useErr, ErrDiskFull)) {
		return useErr
	}
	return waitErr
}
