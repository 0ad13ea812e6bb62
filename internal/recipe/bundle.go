package recipe

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/google/renameio/v2"
)

// The bounds of a bundle that Unpack reads.
const (
	maxEntries = 30_000
	maxBundle  = 2 << 30 // bytes of all files
)

// entryName are the only names that a bundle may hold.
var entryName = regexp.MustCompile(`^(recipe\.json|config|patches/[0-9]{1,2}/[0-9]{4}-[A-Za-z0-9._-]{0,100}\.patch|files/[0-9a-f]{64})$`)

// A Finder returns where on the host a file of the recipe lies, with the bytes
// that it had; an error says that they are gone.
type Finder func(File) (string, error)

// Bundle writes everything that r, the recipe in dir, needs but the source of
// its kernel as a tar archive. The same recipe gives the same bytes.
func (r *Recipe) Bundle(dir, to string, find Finder) error {
	if r.Source.Tree == "" {
		return fmt.Errorf("%s is a ready image: a bundle holds no kernel", r.Source.Spec)
	}
	out, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer out.Cleanup()
	w := tar.NewWriter(out)
	names := []string{Name, "config"}
	for _, s := range r.Series {
		for _, p := range s.Patches {
			names = append(names, p.File)
		}
	}
	for _, name := range names {
		if err := addFile(w, name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	files := r.files()
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.SHA256, b.SHA256) })
	last, left := "", int64(maxBundle)
	for _, f := range files {
		if f.SHA256 == "" || f.SHA256 == last {
			continue
		}
		last = f.SHA256
		from, err := find(f)
		if err != nil {
			return err
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if left -= info.Size(); left < 0 {
			return fmt.Errorf("more than %d MiB, the most a bundle may hold, with %s", int64(maxBundle)>>20, f.Path)
		}
		if err := addFile(w, "files/"+f.SHA256, from); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.CloseAtomicallyReplace()
}

func addFile(w *tar.Writer, name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.CopyN(w, f, info.Size())
	return err
}

// Unpack writes the bundle that r is into the new folder dir. Only files of a
// bundle's names are taken, each once; anything else is ErrBad.
func Unpack(r io.Reader, dir string) error {
	left := int64(maxBundle)
	archive := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("%w: no bundle of runvm's: %w", ErrBad, err)
		case n >= maxEntries:
			return fmt.Errorf("%w: a bundle of more than %d files", ErrBad, maxEntries)
		case h.Typeflag != tar.TypeReg || !entryName.MatchString(h.Name):
			return fmt.Errorf("%w: %.100q has no place in a bundle", ErrBad, h.Name)
		case h.Size < 0 || h.Size > left:
			return fmt.Errorf("%w: a bundle of more than %d MiB", ErrBad, int64(maxBundle)>>20)
		}
		left -= h.Size
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(h.Name)), archive); err != nil {
			return err
		}
	}
}

// writeNew writes a file that must not be there yet; it cannot be executed.
func writeNew(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: %s comes twice", ErrBad, filepath.Base(name))
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
