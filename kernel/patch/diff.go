package patch

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/runvm/runvm/kernel/source"
)

// readDiff reads the files changed by a patch, named as "git apply -p1" names
// them.
func readDiff(body []byte) ([]*gitdiff.File, error) {
	files, _, err := gitdiff.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("its diff is damaged or cut short: %s", strings.TrimPrefix(err.Error(), "gitdiff: "))
	}
	if bytes.HasPrefix(body, []byte(gitHeader)) || bytes.Contains(body, []byte("\n"+gitHeader)) {
		return files, nil
	}
	// A diff that git did not make: the names still have their first folder.
	for _, f := range files {
		for _, name := range []*string{&f.OldName, &f.NewName} {
			if *name == "" {
				continue
			}
			first, rest, found := strings.Cut(*name, "/")
			if !found || first == "" || rest == "" {
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
	binaries := int64(0)
	for _, f := range files {
		if err := checkFile(f); err != nil {
			return nil, err
		}
		if f.IsBinary {
			// Within the bound of one, or checkFile would have refused it.
			size, _ := binarySize(f.BinaryFragment)
			if binaries += size; binaries > maxBinaries {
				return nil, fmt.Errorf("binary changes larger than %d MiB", maxBinaries>>20)
			}
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
		if fragment == nil {
			continue
		}
		size, err := binarySize(fragment)
		if err != nil {
			return fmt.Errorf("%s: a binary change: %w", f.NewName, err)
		}
		if size < 0 || size > maxBinary {
			return fmt.Errorf("%s: a binary change larger than %d MiB", f.NewName, maxBinary>>20)
		}
	}
	return nil
}

// binarySize returns the larger of the bytes that git unpacks of a fragment
// and of the file it makes of them: a delta of some bytes can ask for
// gigabytes.
func binarySize(fragment *gitdiff.BinaryFragment) (int64, error) {
	if fragment.Method != gitdiff.BinaryPatchDelta || fragment.Size < 0 || fragment.Size > maxBinary {
		return fragment.Size, nil
	}
	packed, err := zlib.NewReader(bytes.NewReader(fragment.RawData))
	if err != nil {
		return 0, err
	}
	// A delta begins with the sizes of the file before and after it.
	head, err := io.ReadAll(io.LimitReader(packed, 2*binary.MaxVarintLen64))
	if err != nil {
		return 0, err
	}
	_, n := binary.Uvarint(head)
	after, m := binary.Uvarint(head[max(n, 0):])
	if n <= 0 || m <= 0 || after > maxBinary {
		return maxBinary + 1, nil
	}
	return max(fragment.Size, int64(after)), nil
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
