package patch

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// maxSearched bounds the commits in which the patches that a series needs are
// looked for; a branch on top of a release rarely has as many.
const maxSearched = 2000

// Needed returns the patches that the series needs below it (Series.Needs) and
// that are not in all, out of the git tree at dir: the commits of its branches
// that are not in base. missing are the ids of those it does not have.
func (l *Loader) Needed(ctx context.Context, dir, base string, all []Series) (found []Series, missing []string, err error) {
	var want []string
	for _, s := range all {
		want = append(want, s.Needs...)
	}
	if len(want) == 0 {
		return nil, nil, nil
	}
	given, err := l.patchIDs(ctx, dir, raws(all))
	if err != nil {
		return nil, nil, err
	}
	want = slices.DeleteFunc(want, func(id string) bool { return given[id] != "" })
	if len(want) == 0 || base == "" {
		return nil, want, nil
	}
	log, err := l.git(ctx, dir, "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", "-c", "log.showSignature=false", "log", "-p", "--no-merges", fmt.Sprintf("--max-count=%d", maxSearched), "--format=%H",
		"--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "-U3", "--branches", "HEAD", "--not", base)
	if err != nil {
		return nil, nil, err
	}
	out, err := log.Output()
	if err != nil && len(out) < sh.MaxOutput { // of more the first part is searched
		return nil, nil, source.GitError(err)
	}
	there, err := l.patchIDs(ctx, dir, prefixed(out))
	if err != nil {
		return nil, nil, err
	}
	for _, id := range want {
		commit := there[id]
		if commit == "" {
			missing = append(missing, id)
			continue
		}
		s, err := l.readOne(ctx, dir+":"+commit+"^.."+commit)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, *s)
	}
	return found, missing, nil
}

// raws are the patches of all, each behind the line by which git patch-id
// knows where one starts.
func raws(all []Series) []byte {
	var b bytes.Buffer
	n := 0
	for _, s := range all {
		for _, p := range s.Patches {
			n++
			fmt.Fprintf(&b, "From %040x Mon Sep 17 00:00:00 2001\n\n", n)
			b.Write(p.raw)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// prefixed makes the ids of commits that git log writes what git patch-id
// reads.
func prefixed(log []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(log) {
		if id := bytes.TrimSpace(line); len(id) == 40 && strings.Trim(string(id), "0123456789abcdef") == "" {
			b.WriteString("commit ")
		}
		b.Write(line)
	}
	return b.Bytes()
}

// patchIDs returns the commits in a log, or the numbers in raws, by the stable
// id of the patch.
func (l *Loader) patchIDs(ctx context.Context, dir string, log []byte) (map[string]string, error) {
	cmd, err := l.git(ctx, dir, "patch-id", "--stable")
	if err != nil {
		return nil, err
	}
	cmd.Stdin = bytes.NewReader(log)
	out, err := cmd.Output()
	if err != nil {
		return nil, source.GitError(err)
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 {
			ids[f[0]] = f[1]
		}
	}
	return ids, nil
}
