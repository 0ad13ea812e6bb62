package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The bounds of what kbuild is believed to have written.
const (
	maxCmd     = 16 << 20 // bytes of one .cmd file; 6.12 has 100 KiB
	maxSources = 1 << 20  // files of the tree that were compiled
)

// sources returns, sorted, the files of the tree that the objects in the lane
// were made from, headers included, as kbuild's .cmd files have them
// (scripts/basic/fixdep.c). Objects of an earlier configuration are among
// them.
func (l *lane) sources() ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(l.obj, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), ".") || !strings.HasSuffix(d.Name(), "o.cmd"):
			return nil
		}
		text, err := readBounded(file, maxCmd)
		if err != nil {
			return err
		}
		addSources(text, l.src+"/", found)
		if len(found) > maxSources {
			return errors.New("too many files in kbuild's records")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// addSources adds the paths below src that a .cmd file names as what an object
// was made from:
//
//	source_fs/open.o := /src/fs/open.c
//	deps_fs/open.o := \
//	  /src/include/linux/fs.h \
func addSources(text []byte, src string, found map[string]bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxCmd)
	for lines.Scan() {
		line := lines.Text()
		name, ok := strings.CutPrefix(line, "  ")
		if !ok {
			var target string
			if target, name, ok = strings.Cut(line, " := "); !ok || !strings.HasPrefix(target, "source_") {
				continue
			}
		}
		name = strings.TrimSpace(strings.TrimSuffix(name, "\\"))
		if name, ok := strings.CutPrefix(name, src); ok {
			found[path.Clean(name)] = true
		}
	}
}

// Sources reads which files of its tree the image was compiled from, headers
// included; nil when that was not kept.
func (i *Image) Sources() map[string]bool {
	if i.Dir == "" {
		return nil
	}
	text, err := readBounded(filepath.Join(i.Dir, sourcesName), maxSources*64)
	if err != nil || len(text) == 0 {
		return nil
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		found[strings.TrimSuffix(line, "\n")] = true
	}
	return found
}
