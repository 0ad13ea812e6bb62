package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/runvm/runvm/internal/progress"
)

var errNotPlain = errors.New("its index is no plain list of files")

// borrow takes over the index of the user's repository and, packed as they
// are there, the objects that it names. The index knows the times and sizes
// of the files, so that those that git holds for unchanged are not read at
// all: a tree of ninety thousand is known in seconds. An error, as of a sparse
// or partial clone, means that the files themselves have to be read.
func (l *localTree) borrow(ctx context.Context) error {
	index := filepath.Join(l.repo, "index.borrowed")
	defer os.Remove(index)
	if err := l.copyIndex(ctx, index); err != nil {
		return err
	}
	list, err := l.private(ctx, "ls-files", "-v", "-s", "-z").With("GIT_INDEX_FILE=" + index).Output()
	if err != nil {
		return err
	}
	ids, err := indexed(list)
	if err != nil {
		return err
	}
	if err := l.copyObjects(ctx, ids); err != nil {
		return err
	}
	return os.Rename(index, filepath.Join(l.repo, "index"))
}

// copyIndex copies the user's index with its time: a file that is as young as
// the index may have changed since, which git then looks at.
func (l *localTree) copyIndex(ctx context.Context, to string) error {
	out, err := l.user(ctx, "rev-parse", "--show-prefix", "--git-path", "index").Output()
	if err != nil {
		return err
	}
	prefix, from, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	if prefix != "" {
		return errNotPlain // paths in the index are those of a folder above
	}
	if !filepath.IsAbs(from) {
		from = filepath.Join(l.dir, from)
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// indexed returns the ids of the files in the output of git ls-files -v -s -z.
// Conflicts, and files that git is told not to look at, are errNotPlain.
func indexed(list []byte) ([]string, error) {
	var ids []string
	for _, entry := range splitZ(list) {
		meta, _, _ := strings.Cut(entry, "\t")
		fields := strings.Fields(meta) // H 100644 <id> 0
		if len(fields) != 4 || fields[0] != "H" || fields[3] != "0" {
			return nil, errNotPlain
		}
		if fields[1] != "160000" { // another repository's commit
			ids = append(ids, fields[2])
		}
	}
	if len(ids) == 0 {
		return nil, errNotPlain
	}
	return ids, nil
}

// copyObjects copies the user's objects into the repository in the cache.
func (l *localTree) copyObjects(ctx context.Context, ids []string) error {
	step := l.sink.Start("copy the objects of "+l.dir, 0, progress.Bytes)
	defer step.Done(fmt.Sprintf("%d files", len(ids)))
	pack := l.user(ctx, "pack-objects", "-q", "--window=0", "--delta-base-offset", "--stdout").With("GIT_NO_LAZY_FETCH=1")
	pack.Stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	return filter(pack, func(packed io.Reader) error {
		take := git(ctx, l.run, l.repo, "index-pack", "--stdin")
		take.Stdin = progress.Reader(packed, step, 0)
		_, err := take.Output()
		return err
	})
}
