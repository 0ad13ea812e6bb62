package initramfs

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// keep is how long a part that no run uses stays in the cache.
const keep = 48 * time.Hour

// part returns the path of the archive of files, writing it unless it exists.
func (b *Builder) part(kind string, files []File) (string, error) {
	digest := sha256.New()
	if err := writeArchive(digest, files); err != nil {
		return "", err
	}
	name := kind + "-" + hex.EncodeToString(digest.Sum(nil))[:24] + ".cpio"
	file := filepath.Join(b.Cache, name)
	if _, err := touch(file); err == nil { // before another part sweeps
		return file, nil
	}
	b.sweep(kind)
	return file, writePart(file, files)
}

func writePart(file string, files []File) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	out, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	defer func() { _ = out.Cleanup() }() // nothing after the rename
	buffered := bufio.NewWriterSize(out, 1<<20)
	if err := writeArchive(buffered, files); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	return nil
}

// sweep removes parts of a kind that were not used for a while. What goes
// wrong here costs space only.
func (b *Builder) sweep(kind string) {
	found, _ := filepath.Glob(filepath.Join(b.Cache, kind+"-*.cpio"))
	for _, file := range found {
		if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > keep {
			_ = os.Remove(file)
		}
	}
}

// touch tells sweep that a part is used and returns its size in bytes.
func touch(file string) (int64, error) {
	now := time.Now()
	// In a cache that somebody else owns it stays as it is.
	_ = os.Chtimes(file, now, now)
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
