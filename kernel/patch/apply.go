package patch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// An ApplyError is a patch that does not fit the tree. Error() is one line:
// "apply 0003-x.patch: hunk 2 of fs/splice.c does not apply (line 1234)".
type ApplyError struct {
	Patch  string // Patch.Name
	File   string // the file that does not fit, "" when git named none
	Hunk   int    // number of the hunk in File from 1, 0 when unknown
	Line   int    // line of File at which the hunk was meant to apply, 0 when unknown
	Reason string // what git says
}

// Error names patch, hunk and file.
func (e *ApplyError) Error() string {
	switch {
	case e.Hunk > 0:
		return fmt.Sprintf("apply %s: hunk %d of %s does not apply (line %d)", e.Patch, e.Hunk, e.File, e.Line)
	case e.File != "":
		return fmt.Sprintf("apply %s: %s: %s", e.Patch, e.File, e.Reason)
	}
	return fmt.Sprintf("apply %s: %s", e.Patch, e.Reason)
}

// Apply returns tree with every patch of series applied in order, and what
// was applied. The result has tree's Base and GitDir and a new ID. tree
// itself stays usable whatever happens. A patch that does not fit is an
// *ApplyError. What was applied before is remembered, also for the start of a
// series whose end has changed.
//
// Hunks may stand at other lines than they say. fuzz, 0 to MaxFuzz, is how many
// lines at the edges of a hunk's context may differ, as in patch(1); what was
// needed is in Applied.
func Apply(ctx context.Context, run sh.Runner, tree *source.Tree, series []Series, fuzz int, sink progress.Sink) (*source.Tree, []Applied, error) {
	a := &applier{run: run, tree: tree, at: tree.ID, key: tree.ID, most: min(fuzz, MaxFuzz)}
	defer a.close()
	total := 0
	for _, s := range series {
		total += len(s.Patches)
	}
	if sink == nil {
		sink = progress.Discard{}
	}
	var done []Applied
	for _, s := range series {
		for _, p := range s.Patches {
			if err := a.next(ctx, p, func() progress.Step {
				return sink.Start("apply patches", int64(total), progress.Items)
			}); err != nil {
				return nil, nil, err
			}
			done = append(done, Applied{Series: s.Path, Name: p.Name, Subject: p.Subject, Digest: p.Digest, Files: p.Files, Tree: a.at, Offset: a.offset, Fuzz: a.fuzz})
			a.show(len(done), total)
		}
	}
	patched := *tree
	patched.ID = a.at
	return &patched, done, nil
}

// An applier is on its way through a series.
type applier struct {
	run   sh.Runner
	tree  *source.Tree
	at    string // id of the tree so far
	key   string // of all that was applied so far
	index string // file with the index of at, "" while everything is remembered
	step  progress.Step

	most         int // fuzz that is allowed
	offset, fuzz int // that the last patch needed
}

func (a *applier) show(done, total int) {
	if a.step != nil {
		a.step.Set(int64(done), int64(total))
	}
}

func (a *applier) close() {
	if a.step != nil {
		a.step.Done("")
	}
	if a.index != "" {
		_ = os.RemoveAll(filepath.Dir(a.index))
	}
}

// next applies p, or remembers having done so.
func (a *applier) next(ctx context.Context, p Patch, start func() progress.Step) error {
	// What git is given decides, not what surrounds it in the mail.
	sum := sha256.Sum256(append([]byte(a.key+"\n"), p.raw...))
	a.key = hex.EncodeToString(sum[:])
	memo := filepath.Join(a.tree.GitDir, "applied", a.key)
	if text, err := os.ReadFile(memo); err == nil && a.index == "" && a.remember(string(text)) {
		return nil
	}
	if a.step == nil {
		a.step = start()
	}
	if err := a.apply(ctx, p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(memo), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(memo, fmt.Appendf(nil, "%s %d %d", a.at, a.offset, a.fuzz), 0o644)
}

// remember takes in what next wrote: tree, offset and fuzz.
func (a *applier) remember(text string) bool {
	var id string
	var offset, fuzz int
	if n, err := fmt.Sscanf(text, "%s %d %d", &id, &offset, &fuzz); n != 3 || err != nil || !treeID.MatchString(id) || fuzz > a.most {
		return false
	}
	a.at, a.offset, a.fuzz = id, offset, fuzz
	return true
}

var treeID = regexp.MustCompile(`^[0-9a-f]{40,64}$`)

// contextLines is what git format-patch shows around a change.
const contextLines = 3

// MaxFuzz leaves one line of context that must be there.
const MaxFuzz = contextLines - 1

func (a *applier) apply(ctx context.Context, p Patch) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	for a.fuzz = 0; ; a.fuzz++ {
		failed, err := a.try(ctx, p)
		if err != nil {
			return fmt.Errorf("apply %s: %w", p.Name, source.GitError(err))
		}
		if failed == nil {
			break
		}
		if a.fuzz == a.most {
			return failed
		}
	}
	out, err := a.git(ctx, "write-tree").Output()
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.Name, source.GitError(err))
	}
	before := a.at
	a.at = strings.TrimSpace(string(out))
	if err := a.check(ctx, p, before); err != nil {
		return fmt.Errorf("apply %s: %w", p.Name, err)
	}
	return nil
}

// maxSaid bounds what is read of what git says about one patch, in bytes.
const maxSaid = 1 << 20

// offsetLine is what git says of a hunk that stands elsewhere.
var offsetLine = regexp.MustCompile(`(?m)^Hunk #[0-9]+ succeeded at [0-9]+ \(offset (-?[0-9]+) lines?\)\.?$`)

// try has git apply p to the index with a.fuzz. It returns why p does not fit;
// an error is another failure.
func (a *applier) try(ctx context.Context, p Patch) (*ApplyError, error) {
	args := []string{"apply", "--cached", "-p1", "--verbose", "--whitespace=nowarn"}
	if a.fuzz > 0 {
		args = append(args, "-C"+strconv.Itoa(contextLines-a.fuzz))
	}
	cmd := a.git(ctx, append(args, "-")...)
	cmd.Stdin = bytes.NewReader(p.raw)
	said := &sh.Tail{Max: maxSaid}
	cmd.Stderr = said
	err := cmd.Run()
	if err != nil && ctx.Err() == nil && sh.ExitCode(err) > 0 && !errors.Is(source.GitError(&sh.Error{Name: "git", Stderr: said.String(), Err: err}), source.ErrDiskFull) {
		return explain(p, said.String()), nil
	}
	if err != nil {
		return nil, &sh.Error{Name: "git", Stderr: said.String(), Err: err}
	}
	a.offset = 0
	for _, m := range offsetLine.FindAllStringSubmatch(said.String(), -1) {
		n, _ := strconv.Atoi(strings.TrimPrefix(m[1], "-"))
		a.offset = max(a.offset, n)
	}
	return nil, nil
}

// open gives the applier an index of its own.
func (a *applier) open(ctx context.Context) error {
	if a.index != "" {
		return nil
	}
	a.sweep()
	dir, err := os.MkdirTemp(a.tree.GitDir, "apply-*")
	if err != nil {
		return err
	}
	a.index = filepath.Join(dir, "index")
	return source.GitError(a.git(ctx, "read-tree", a.at).Run())
}

// sweep removes what a run that was killed left, and no run can still use.
func (a *applier) sweep() {
	torn, _ := filepath.Glob(filepath.Join(a.tree.GitDir, "apply-*"))
	for _, dir := range torn {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

func (a *applier) git(ctx context.Context, args ...string) *sh.Cmd {
	return a.tree.Git(ctx, a.run, args...).With("GIT_INDEX_FILE=" + a.index)
}

// check compares what git changed with what Load found in the patch: git
// skips patches silently in some folders, and the two might not read a
// hostile patch in the same way.
func (a *applier) check(ctx context.Context, p Patch, before string) error {
	out, err := a.git(ctx, "diff-tree", "-r", "-z", "--no-renames", before, a.at).Output()
	if err != nil {
		return source.GitError(err)
	}
	var touched []string
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		// ":<old mode> <new mode> <old id> <new id> <status>" and the path.
		words := strings.Fields(fields[i])
		if len(words) != 5 {
			return fmt.Errorf("compare trees: git says %q", fields[i])
		}
		if err := a.checkMode(ctx, fields[i+1], words[1]); err != nil {
			return err
		}
		touched = append(touched, fields[i+1])
	}
	slices.Sort(touched)
	if !slices.Equal(touched, p.Files) {
		return fmt.Errorf("%w: git changed %q, the patch names %q", ErrRefused, touched, p.Files)
	}
	return nil
}

// checkMode looks at what the patch made of a path: a link must stay inside of
// the tree, and other repositories have no place in it.
func (a *applier) checkMode(ctx context.Context, name, mode string) error {
	if mode == "160000" {
		return fmt.Errorf("%w: %s is a submodule", ErrRefused, name)
	}
	if mode != "120000" {
		return nil
	}
	target, err := a.git(ctx, "cat-file", "blob", a.at+":"+name).Output()
	if err != nil {
		return source.GitError(err)
	}
	if err := source.CheckLink(name, string(target)); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

var (
	failedHunk = regexp.MustCompile(`(?m)^error: patch failed: (.+):([0-9]+)$`)
	failedFile = regexp.MustCompile(`(?m)^error: (.+): (patch does not apply|does not exist in index|already exists in index|.*wrong type|.*does not match.*)$`)
	failedAny  = regexp.MustCompile(`(?m)^(?:error|fatal): (.+)$`)
)

// inTree says in other words what git says of its index.
var inTree = map[string]string{
	"does not exist in index": "the tree has no such file",
	"already exists in index": "the tree has this file already",
}

// explain turns git's complaint about p into an error that names the hunk.
func explain(p Patch, stderr string) *ApplyError {
	e := &ApplyError{Patch: p.Name, Reason: "git says nothing"}
	if m := failedAny.FindStringSubmatch(stderr); m != nil {
		e.Reason = m[1]
	}
	if m := failedFile.FindStringSubmatch(stderr); m != nil {
		e.File, e.Reason = m[1], m[2]
	}
	if said, ok := inTree[e.Reason]; ok {
		e.Reason = said
	}
	if m := failedHunk.FindStringSubmatch(stderr); m != nil {
		e.File = m[1]
		e.Line, _ = strconv.Atoi(m[2])
		e.Hunk = hunkAt(p, e.File, e.Line)
	}
	return e
}

// hunkAt returns the number, from 1, of the hunk of file that starts at line
// of the unpatched file, 0 when there is none.
func hunkAt(p Patch, file string, line int) int {
	for _, f := range p.diffs {
		if f.OldName != file && f.NewName != file {
			continue
		}
		for i, fragment := range f.TextFragments {
			if fragment.OldPosition == int64(line) {
				return i + 1
			}
		}
	}
	return 0
}
