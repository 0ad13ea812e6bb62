package source

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// local returns the content of the folder at path: of a git tree what git
// tracks or would add, with the changes not committed; of any other all but
// the products of a build. The folder and its repository are only read.
func (s *Store) local(ctx context.Context, path string) (*Tree, error) {
	dir, err := kernelDir(path)
	if err != nil {
		return nil, err
	}
	base := localBase(dir)
	release, err := s.lock(ctx, base)
	if err != nil {
		return nil, err
	}
	defer release()
	repo, err := filepath.Abs(s.repo(base))
	if err != nil {
		return nil, err
	}
	if err := makeRepo(ctx, s.Sh, repo); err != nil {
		return nil, err
	}
	l := &localTree{run: s.Sh, sink: s.sink(), dir: dir, repo: repo}
	tree := &Tree{Name: dir, Base: base, GitDir: repo, Fetched: time.Now().UTC().Truncate(time.Second)}
	if tree.ID, err = l.snapshot(ctx); err != nil {
		return nil, GitError(err)
	}
	if err := l.describe(ctx, tree); err != nil {
		return nil, GitError(err)
	}
	tree.Version, err = treeVersion(ctx, s.Sh, tree)
	return tree, err
}

// kernelDir returns the absolute path, free of links, of a kernel tree.
func kernelDir(path string) (string, error) {
	dir, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotKernel, err)
	}
	for _, file := range []string{"Makefile", "Kconfig"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("%w: %s has no %s, want the top folder of Linux's source", ErrNotKernel, dir, file)
		}
	}
	return dir, nil
}

// treeVersion reads the version out of the tree's Makefile.
func treeVersion(ctx context.Context, run sh.Runner, tree *Tree) (string, error) {
	makefile, err := tree.Git(ctx, run, "cat-file", "blob", tree.ID+":Makefile").Output()
	if err != nil {
		return "", GitError(err)
	}
	version := makefileVersion(makefile)
	if version == "" {
		return "", fmt.Errorf("%w: its Makefile has no VERSION and PATCHLEVEL", ErrNotKernel)
	}
	return version, nil
}

// A localTree is a folder of the user and the repository in the cache that
// takes its content.
type localTree struct {
	run  sh.Runner
	sink progress.Sink
	dir  string
	repo string
}

// private is a git command on the cache's repository with the user's folder
// as its work tree; its index remembers the times and sizes of the files, so
// that only changed ones are read again.
func (l *localTree) private(ctx context.Context, args ...string) *sh.Cmd {
	cmd := git(ctx, l.run, l.repo, append([]string{"-c", "core.bare=false"}, args...)...)
	cmd.Dir = l.dir
	return cmd.With("GIT_WORK_TREE="+l.dir, "GIT_INDEX_FILE="+filepath.Join(l.repo, "index"))
}

// user is a git command on the user's repository that writes nothing: no
// refreshed index, no daemon that watches files.
func (l *localTree) user(ctx context.Context, args ...string) *sh.Cmd {
	args = append([]string{"-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*"}, args...)
	return clean(l.run.Command(ctx, l.dir, "git", args...)).With("GIT_OPTIONAL_LOCKS=0")
}

// snapshot stores the folder's content and returns its tree's id.
func (l *localTree) snapshot(ctx context.Context) (string, error) {
	if err := os.Remove(filepath.Join(l.repo, "index.lock")); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	files, err := l.files(ctx)
	if err != nil {
		return "", err
	}
	if err := l.seed(ctx, files); err != nil {
		return "", err
	}
	out, err := l.private(ctx, "ls-files", "-z").Output()
	if err != nil {
		return "", err
	}
	step := l.sink.Start("compare "+l.dir, 0, progress.Items)
	defer step.Done(fmt.Sprintf("%d files", len(files)))
	if gone := missing(splitZ(out), files); len(gone) > 0 {
		if err := l.update(ctx, gone, "--force-remove"); err != nil {
			return "", err
		}
	}
	if err := l.update(ctx, files, "--add", "--replace"); err != nil {
		return "", err
	}
	id, err := l.private(ctx, "write-tree").Output()
	return strings.TrimSpace(string(id)), err
}

// seed stores the files of a tree that is read for the first time in one pack:
// as ninety thousand files of their own they would take minutes.
func (l *localTree) seed(ctx context.Context, files []string) error {
	if _, err := os.Stat(filepath.Join(l.repo, "index")); err == nil {
		return nil
	}
	if l.borrow(ctx) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	step := l.sink.Start("read "+l.dir, int64(len(files)), progress.Items)
	defer step.Done(fmt.Sprintf("%d files", len(files)))
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.pack(w, files, step)) }()
	_, err := importTar(ctx, l.run, l.repo, r)
	r.CloseWithError(err) // ends pack, when the import did not read it all
	return err
}

// pack writes the files as a tar archive.
func (l *localTree) pack(w io.Writer, files []string, step progress.Step) error {
	archive := tar.NewWriter(w)
	for i, path := range files {
		if err := l.packFile(archive, path); err != nil {
			return err
		}
		step.Set(int64(i+1), int64(len(files)))
	}
	return archive.Close()
}

func (l *localTree) packFile(archive *tar.Writer, path string) error {
	file := filepath.Join(l.dir, path)
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	// importTar leaves out the folder that all are in.
	head := &tar.Header{Name: "tree/" + path, Mode: int64(info.Mode().Perm()), Typeflag: tar.TypeReg}
	var data []byte
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		head.Typeflag = tar.TypeSymlink
		head.Linkname, err = os.Readlink(file)
	case info.Size() > maxFileSize:
		err = fmt.Errorf("%s: larger than %d MiB", file, maxFileSize>>20)
	case info.Mode().IsRegular():
		data, err = os.ReadFile(file)
	default:
		err = fmt.Errorf("%s: neither file nor link", file)
	}
	if err != nil {
		return err
	}
	head.Size = int64(len(data))
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	_, err = archive.Write(data)
	return err
}

// update changes the private index for paths.
func (l *localTree) update(ctx context.Context, paths []string, flags ...string) error {
	args := append([]string{"update-index", "-z"}, flags...)
	return feed(l.private(ctx, append(args, "--stdin")...), func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(paths, "\x00")+"\x00")
		return err
	})
}

// products are what kbuild leaves in a tree that it was run in. The tree's
// own .gitignore does not serve: that of Debian's source package ignores
// everything.
var products = [...]string{
	"--exclude=*.o", "--exclude=*.a", "--exclude=*.ko", "--exclude=*.mod", "--exclude=*.mod.c", "--exclude=*.dtb",
	"--exclude=*.so", "--exclude=*.so.dbg", "--exclude=.*.cmd", "--exclude=.*.d", "--exclude=.tmp_*",
	"--exclude=modules.order", "--exclude=modules.builtin*", "--exclude=Module.symvers", "--exclude=/vmlinux*",
	"--exclude=/System.map", "--exclude=/.config", "--exclude=/.config.old", "--exclude=/.version", "--exclude=/include/config/",
	"--exclude=/include/generated/", "--exclude=/arch/*/include/generated/", "--exclude=/arch/*/boot/bzImage",
}

// files returns the paths that make up the tree, sorted.
func (l *localTree) files(ctx context.Context) ([]string, error) {
	tracked, err := l.tracked(ctx)
	if err != nil {
		return nil, err
	}
	list := []string{"ls-files", "-z", "--cached", "--others"}
	cmd := l.user(ctx, append(list, "--exclude-standard")...)
	if !tracked {
		cmd = l.private(ctx, append(list, products[:]...)...)
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, path := range splitZ(out) {
		info, err := os.Lstat(filepath.Join(l.dir, path))
		// A tracked file that was deleted, or the folder of another repository.
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&os.ModeSymlink != 0 {
			if err := l.checkLink(path); err != nil {
				return nil, err
			}
		}
		files = append(files, path)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func (l *localTree) checkLink(path string) error {
	target, err := os.Readlink(filepath.Join(l.dir, path))
	if err != nil {
		return err
	}
	return CheckLink(path, target)
}

// tracked says whether the folder is (in) the work tree of a repository that
// knows its Makefile. A folder that some repository around it ignores is not.
func (l *localTree) tracked(ctx context.Context) (bool, error) {
	err := l.user(ctx, "ls-files", "--error-unmatch", "--", "Makefile").Run()
	if sh.ExitCode(err) > 0 {
		return false, nil
	}
	return err == nil, err
}

// describe puts into tree's name where the folder stands in its history.
func (l *localTree) describe(ctx context.Context, tree *Tree) error {
	tracked, err := l.tracked(ctx)
	if err != nil || !tracked {
		return err
	}
	head, err := l.user(ctx, "rev-parse", "--quiet", "--verify", "HEAD:./").Output()
	if err != nil && sh.ExitCode(err) <= 0 {
		return err
	}
	tree.Dirty = strings.TrimSpace(string(head)) != tree.ID
	at, err := l.user(ctx, "describe", "--always", "--tags", "--abbrev=12").Output()
	if err != nil {
		at = []byte("without-commit")
	}
	tree.Name += " " + strings.TrimSpace(string(at))
	if tree.Dirty {
		tree.Name += fmt.Sprintf("-dirty (%.12s)", tree.ID)
	}
	return nil
}

// missing returns the elements of old that sorted lacks.
func missing(old, sorted []string) []string {
	return slices.DeleteFunc(old, func(path string) bool {
		_, found := slices.BinarySearch(sorted, path)
		return found
	})
}

// splitZ splits the NUL-terminated output of git.
func splitZ(out []byte) []string {
	out = bytes.TrimSuffix(out, []byte{0})
	if len(out) == 0 {
		return nil
	}
	return strings.Split(string(out), "\x00")
}
