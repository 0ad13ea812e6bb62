package patch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/patch/mail"
	"github.com/runvm/runvm/kernel/source"
)

// A Loader reads series. The zero value has no standard input. It is safe for
// concurrent use.
type Loader struct {
	Sh    sh.Runner // runs git for ranges and b4 for mails on the net
	Stdin io.Reader // what "-" reads; the first reading is kept for others

	once  sync.Once
	stdin []mail.Mail
	kind  mail.Kind
	err   error

	mu   sync.Mutex
	read map[string]*Series // by what named them: a thread is fetched once
}

// CheckSpec returns an error when spec names a path, and nothing is there.
func CheckSpec(spec string) error {
	if spec == "-" || isRemote(spec) {
		return nil
	}
	if _, _, ok := cutRange(spec); ok {
		return nil
	}
	if _, err := os.Stat(spec); err != nil {
		return errors.New("no such file or folder")
	}
	return nil
}

// mails returns the mails that spec names.
func (l *Loader) mails(ctx context.Context, spec string) ([]mail.Mail, mail.Kind, error) {
	if spec == "-" {
		l.once.Do(l.readStdin)
		return l.stdin, l.kind, l.err
	}
	if tree, revs, ok := cutRange(spec); ok {
		return l.fromRange(ctx, tree, revs)
	}
	if isRemote(spec) {
		return l.fromNet(ctx, spec)
	}
	mails, kind, err := mail.Read(spec)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("no such file or folder")
	}
	return mails, kind, err
}

func (l *Loader) readStdin() {
	if l.Stdin == nil {
		l.err = fmt.Errorf("%w: no standard input here", ErrRefused)
		return
	}
	l.stdin, l.kind, l.err = mail.ReadFrom("stdin", l.Stdin)
}

// exists says that spec is a path; a path always is one, whatever else it
// looks like.
func exists(spec string) bool {
	_, err := os.Stat(spec)
	return err == nil
}

// cutRange splits TREE:BASE..TIP.
func cutRange(spec string) (tree, revs string, ok bool) {
	if exists(spec) {
		return "", "", false
	}
	for at, r := range spec {
		if r != ':' || !exists(filepath.Join(spec[:at], ".git")) && !exists(filepath.Join(spec[:at], "HEAD")) {
			continue
		}
		base, tip, ok := strings.Cut(spec[at+1:], "..")
		if ok && base != "" && base[0] != '-' && tip != "" && tip[0] != '.' && tip[0] != '-' {
			return spec[:at], spec[at+1:], true
		}
	}
	return "", "", false
}

// Range splits TREE:BASE..TIP; ok is false for what names no range of a tree.
func Range(spec string) (tree, revs string, ok bool) {
	if spec == "-" || isRemote(spec) {
		return "", "", false
	}
	return cutRange(spec)
}

// git is a command on the repository in tree. Its configuration is read, for
// it may say where objects are; what it says of patches is overruled below.
func (l *Loader) git(ctx context.Context, tree string, args ...string) (*sh.Cmd, error) {
	dir, err := filepath.Abs(tree)
	if err != nil {
		return nil, err
	}
	gitDir := filepath.Join(dir, ".git")
	if !exists(gitDir) {
		gitDir = dir
	}
	cmd := (&source.Tree{GitDir: gitDir}).Git(ctx, l.Sh, args...)
	cmd.Dir = dir // .git is a file in a work tree of another repository
	return cmd, nil
}

func (l *Loader) output(ctx context.Context, tree string, args ...string) (string, error) {
	cmd, err := l.git(ctx, tree, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), source.GitError(err)
}

// fromRange has git write the commits of a range as mails.
func (l *Loader) fromRange(ctx context.Context, tree, revs string) ([]mail.Mail, mail.Kind, error) {
	count, err := l.output(ctx, tree, "rev-list", "--count", "--no-merges", revs, "--")
	if err != nil {
		return nil, mail.File, err
	}
	if n, _ := strconv.Atoi(count); n == 0 || n > MaxPatches {
		return nil, mail.File, fmt.Errorf("%w: %s commits, want 1 to %d", ErrRefused, count, MaxPatches)
	}
	merges, err := l.output(ctx, tree, "rev-list", "--count", "--merges", revs, "--")
	if err != nil {
		return nil, mail.File, err
	}
	if merges != "0" {
		return nil, mail.File, fmt.Errorf("%w: %s merges in it: what they changed is in no patch", ErrRefused, merges)
	}
	cmd, err := l.git(ctx, tree, "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "-c", "format.outputDirectory=",
		"format-patch", "--stdout", "--pretty=mboxrd", "--encoding=UTF-8", "--numbered", "--subject-prefix=PATCH",
		"--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", "-U3",
		"--no-attach", "--no-thread", "--no-cover-letter", "--no-base", "--no-notes", "--no-signature", "--no-signoff",
		"--no-from", "--no-to", "--no-cc", "--no-add-header", revs, "--")
	if err != nil {
		return nil, mail.File, err
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, mail.File, source.GitError(err)
	}
	return mail.ReadFrom(revs, bytes.NewReader(out))
}

// rangeBase returns the commit that a range starts at, "" where spec is none
// or git does not know it.
func (l *Loader) rangeBase(ctx context.Context, spec string) string {
	tree, revs, ok := cutRange(spec)
	if !ok || spec == "-" {
		return ""
	}
	base, tip, _ := strings.Cut(revs, "..")
	commit, err := l.output(ctx, tree, "merge-base", base, tip)
	if err != nil {
		return ""
	}
	return commit
}

// netTime bounds what b4 may need for a thread.
const netTime = 2 * time.Minute

// bareID is a Message-ID without its brackets. It never looks like a flag.
var bareID = regexp.MustCompile(`^[A-Za-z0-9][^\s<>/]*@[A-Za-z0-9][^\s<>/]*$`)

// isRemote says that spec is the address of a mail or its Message-ID.
func isRemote(spec string) bool {
	if strings.HasPrefix(spec, "https://") || strings.HasPrefix(spec, "http://") {
		return true
	}
	return bareID.MatchString(strings.TrimSuffix(strings.TrimPrefix(spec, "<"), ">")) && !exists(spec)
}

// fromNet has b4 fetch a thread, as a Maildir: its mboxes are ambiguous.
func (l *Loader) fromNet(ctx context.Context, spec string) ([]mail.Mail, mail.Kind, error) {
	if _, err := exec.LookPath("b4"); err != nil {
		return nil, mail.File, &source.MissingTool{Tool: "b4", For: "mails that are not at hand (or save the thread as an mbox)"}
	}
	dir, err := os.MkdirTemp("", "runvm-mail-*")
	if err != nil {
		return nil, mail.File, err
	}
	defer os.RemoveAll(dir)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, mail.File, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, netTime)
	defer cancel()
	id := strings.TrimSuffix(strings.TrimPrefix(spec, "<"), ">")
	if err := l.Sh.Command(ctx, dir, "b4", "-q", "mbox", "-o", dir, id).Run(); err != nil {
		return nil, mail.File, fmt.Errorf("fetch it (is this machine off-line?): %w", err)
	}
	return mail.Read(dir)
}
