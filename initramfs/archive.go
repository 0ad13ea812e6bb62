package initramfs

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/uio/uio"
	"golang.org/x/sys/unix"
)

// writeArchive writes files and the directories above them to w as a newc
// archive: sorted, owned by root, without times.
func writeArchive(w io.Writer, files []File) error {
	all, err := withDirectories(files)
	if err != nil {
		return err
	}
	archive := cpio.Newc.Writer(w)
	for i, f := range all {
		record, err := f.record()
		if err != nil {
			return err
		}
		record.Ino = uint64(i + 1)
		if err := archive.WriteRecord(record); err != nil {
			return fmt.Errorf("archive %s: %w", f.Path, err)
		}
	}
	return cpio.WriteTrailer(archive)
}

// withDirectories returns files and the directories above them, each once,
// sorted so that a directory comes before what is in it.
func withDirectories(files []File) ([]File, error) {
	all := make(map[string]File)
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || strings.ContainsRune(f.Path, 0) {
			return nil, fmt.Errorf("archive %q: not a clean absolute path", f.Path)
		}
		if old, ok := all[f.Path]; ok && !same(old, f) {
			return nil, fmt.Errorf("archive %s: two different files of this name", f.Path)
		}
		all[f.Path] = f
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "/"; dir = path.Dir(dir) {
			if above, ok := all[dir]; !ok {
				all[dir] = File{Path: dir}
			} else if !above.isDir() {
				return nil, fmt.Errorf("archive %s: %s is not a directory", f.Path, dir)
			}
		}
	}
	sorted := make([]File, 0, len(all))
	for _, f := range all {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return sorted, nil
}

func same(a, b File) bool {
	return a.Source == b.Source && a.Link == b.Link && a.Mode == b.Mode && bytes.Equal(a.Data, b.Data)
}

func (f *File) isDir() bool { return f.Source == "" && f.Link == "" && f.Data == nil }

// record is f as a record of the archive; a source is opened when it is read.
func (f *File) record() (cpio.Record, error) {
	name := strings.TrimPrefix(f.Path, "/")
	mode := uint64(f.Mode.Perm())
	switch {
	case f.Link != "":
		return cpio.Symlink(name, f.Link), nil
	case f.isDir():
		return cpio.Directory(name, cmp.Or(mode, 0o755)), nil
	case f.Source == "":
		return cpio.StaticFile(name, string(f.Data), cmp.Or(mode, 0o644)), nil
	}
	info, err := os.Stat(f.Source)
	if err != nil {
		return cpio.Record{}, fmt.Errorf("archive %s: %w", f.Path, err)
	}
	if !info.Mode().IsRegular() {
		return cpio.Record{}, fmt.Errorf("archive %s: %s is not a regular file", f.Path, f.Source)
	}
	if info.Size() > MaxSize {
		return cpio.Record{}, fmt.Errorf("archive %s: %d MiB are more than %d MiB", f.Path, info.Size()>>20, MaxSize>>20)
	}
	if mode == 0 && info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return cpio.Record{
		ReaderAt: uio.NewLazyFile(f.Source),
		Info: cpio.Info{
			Name:     name,
			Mode:     unix.S_IFREG | cmp.Or(mode, 0o644),
			FileSize: uint64(info.Size()),
		},
	}, nil
}
