package patch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/runvm/runvm/kernel/source"
)

// Load reads the series at each path: a folder of *.patch files (in the order
// of their names, without the cover letter), one patch, or an mbox. A patch
// that names paths outside of the tree, makes a link that points there, is
// larger than the bounds above or changes nothing is ErrRefused.
func Load(paths []string) ([]Series, error) {
	var all []Series
	count := 0
	for _, path := range paths {
		mails, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("read patches %s: %w", path, err)
		}
		if count += len(mails); count > MaxPatches {
			return nil, fmt.Errorf("read patches %s: %w: more than %d patches", path, ErrRefused, MaxPatches)
		}
		series := Series{Path: path}
		for _, m := range mails {
			p, err := parse(m.name, m.text)
			if errors.Is(err, errCover) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read patches %s: %s: %w", path, m.name, err)
			}
			series.Patches = append(series.Patches, p)
		}
		if len(series.Patches) == 0 {
			return nil, fmt.Errorf("read patches %s: %w: no patch in it", path, ErrRefused)
		}
		all = append(all, series)
	}
	return all, nil
}

// A mail is the text of one patch and what to call it.
type mail struct {
	name string
	text []byte
}

// read returns the mails at path, which may be a folder, a patch or an mbox.
func read(path string) ([]mail, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if info.IsDir() {
		return readDir(path)
	}
	return readFile(path)
}

func readDir(dir string) ([]mail, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var mails []mail
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".patch" || strings.HasPrefix(entry.Name(), "0000-") {
			continue
		}
		if len(mails) > MaxPatches {
			break // Load says that there are too many
		}
		one, err := readFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		mails = append(mails, one...)
	}
	return mails, nil
}

// readFile returns the mails of a file: one, unless it is an mbox of more.
func readFile(path string) ([]mail, error) {
	// Before it is opened, for that would wait for the other end of a pipe.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file", ErrRefused)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMbox+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxMbox {
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrRefused, maxMbox>>20)
	}
	name := filepath.Base(path)
	texts := splitMbox(text)
	if len(texts) == 1 {
		return []mail{{name, texts[0]}}, nil
	}
	mails := make([]mail, len(texts))
	for i, text := range texts {
		mails[i] = mail{fmt.Sprintf("%s#%d", name, i+1), text}
	}
	return mails, nil
}

// errCover is a mail that introduces a series and has no patch itself.
var errCover = errors.New("cover letter")

var coverNumber = regexp.MustCompile(`\[[^\]]*\b0+/[0-9]+\]`)

// parse reads one mail and checks the patch in it.
func parse(name string, text []byte) (Patch, error) {
	if len(text) > MaxMailSize {
		return Patch{}, fmt.Errorf("%w: larger than %d MiB", ErrRefused, MaxMailSize>>20)
	}
	subject, body, err := decodeMail(text)
	if err != nil {
		return Patch{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	files, err := readDiff(body)
	if err != nil {
		return Patch{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(files) == 0 {
		if coverNumber.MatchString(subject) {
			return Patch{}, errCover
		}
		return Patch{}, fmt.Errorf("%w: it changes nothing", ErrRefused)
	}
	sum := sha256.Sum256(text)
	p := Patch{Name: name, Subject: cleanSubject(subject), Digest: hex.EncodeToString(sum[:]), raw: body, diffs: files}
	if p.Files, err = checkFiles(files); err != nil {
		return Patch{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return p, nil
}

// readDiff reads the files changed by a patch, named as "git apply -p1" names
// them.
func readDiff(body []byte) ([]*gitdiff.File, error) {
	files, _, err := gitdiff.Parse(bytes.NewReader(body))
	if err != nil || bytes.HasPrefix(body, []byte(gitHeader)) || bytes.Contains(body, []byte("\n"+gitHeader)) {
		return files, err
	}
	// A diff that git did not make: the names still have their first folder.
	for _, f := range files {
		for _, name := range []*string{&f.OldName, &f.NewName} {
			if *name == "" {
				continue
			}
			first, rest, found := strings.Cut(*name, "/")
			if !found || first == "" {
				return nil, fmt.Errorf("path %q has no folder such as a/ to leave out", *name)
			}
			*name = rest
		}
	}
	return files, nil
}

// gitHeader starts each file in a diff made by git.
const gitHeader = "diff --git "

// checkFiles returns the paths that files touch, sorted, or why they must not
// be touched.
func checkFiles(files []*gitdiff.File) ([]string, error) {
	var paths []string
	for _, f := range files {
		if err := checkFile(f); err != nil {
			return nil, err
		}
		if f.OldName != "" && !f.IsCopy {
			paths = append(paths, f.OldName)
		}
		if f.NewName != "" {
			paths = append(paths, f.NewName)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func checkFile(f *gitdiff.File) error {
	for _, name := range []string{f.OldName, f.NewName} {
		if name == "" {
			continue
		}
		if err := source.CheckPath(name); err != nil {
			return err
		}
	}
	if f.IsBinary {
		return checkBinary(f)
	}
	if f.NewMode&kindMask == gitlink {
		return fmt.Errorf("%s: a submodule", f.NewName)
	}
	if f.NewMode&kindMask == symlink && f.IsNew {
		return source.CheckLink(f.NewName, added(f))
	}
	return nil
}

// The kinds of what is not a file, in the modes of git.
const (
	kindMask = 0o170000
	symlink  = 0o120000
	gitlink  = 0o160000
)

func checkBinary(f *gitdiff.File) error {
	if f.BinaryFragment == nil {
		return fmt.Errorf("%s: a binary change without its data", f.NewName)
	}
	for _, fragment := range []*gitdiff.BinaryFragment{f.BinaryFragment, f.ReverseBinaryFragment} {
		if fragment != nil && (fragment.Size < 0 || fragment.Size > maxBinary) {
			return fmt.Errorf("%s: a binary change larger than %d MiB", f.NewName, maxBinary>>20)
		}
	}
	return nil
}

// added returns the content that a patch gives a new file.
func added(f *gitdiff.File) string {
	var text strings.Builder
	for _, fragment := range f.TextFragments {
		for _, line := range fragment.Lines {
			if line.Op == gitdiff.OpAdd {
				text.WriteString(line.Line)
			}
		}
	}
	return text.String()
}
