package run

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/runvm/runvm/initramfs"
)

// What a testdata folder may hold: it is unpacked into the guest's memory at
// every boot, at about 5 ms a MiB.
const (
	maxFolderBytes = 64 << 20
	maxFolderFiles = 10000
)

// folder lists what lies below the host's dir as files below the guest's
// target. Symbolic links stay links; devices and sockets are refused.
func folder(dir, target string) ([]initramfs.File, error) {
	var files []initramfs.File
	var size int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := initramfs.File{Path: filepath.Join(target, rel), Mode: info.Mode().Perm()}
		switch {
		case d.IsDir():
		case d.Type() == fs.ModeSymlink:
			if file.Link, err = os.Readlink(path); err != nil {
				return err
			}
		case d.Type().IsRegular():
			file.Source = path
			size += info.Size()
		default:
			return fmt.Errorf("%s: neither file, folder nor symbolic link", path)
		}
		files = append(files, file)
		if size > maxFolderBytes || len(files) > maxFolderFiles {
			return fmt.Errorf("%s: more than %d MiB or %d files for the guest's memory", dir, maxFolderBytes>>20, maxFolderFiles)
		}
		return nil
	})
	return files, err
}
