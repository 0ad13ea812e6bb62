package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/runvm/runvm/internal/sh"
)

// The bounds of an archive. Linux 6.12 has 92 thousand entries, 1.5 GiB.
const (
	maxEntries  = 1 << 20
	maxFileSize = 512 << 20
	maxTreeSize = 16 << 30
)

// tornRef holds an import under way. No import is ever looked for there.
const tornRef = "refs/torn/import"

// importTar writes the tar archive r into the repository gitDir and returns
// its tree's id. The names in the archive are never names on this machine's
// disk. The caller holds the repository's lock.
func importTar(ctx context.Context, run sh.Runner, gitDir string, r io.Reader) (string, error) {
	sweep(gitDir)
	defer sweep(gitDir)
	if err := git(ctx, run, gitDir, "update-ref", "-d", tornRef).Run(); err != nil {
		return "", GitError(err)
	}
	cmd := git(ctx, run, gitDir, "fast-import", "--quiet", "--done", "--depth=0", "--date-format=raw")
	if err := feed(cmd, func(w io.Writer) error { return new(importer).run(w, r) }); err != nil {
		return "", GitError(err)
	}
	return treeOf(ctx, run, gitDir, tornRef)
}

// sweep removes what a fast-import that was killed leaves behind. The caller
// holds the lock of the repository.
func sweep(gitDir string) {
	for _, pattern := range []string{"objects/pack/tmp_*", "fast_import_crash_*"} {
		torn, _ := filepath.Glob(filepath.Join(gitDir, pattern))
		for _, path := range torn {
			_ = os.Remove(path)
		}
	}
}

// treeOf returns the id of the tree that ref has, "" when there is no ref.
func treeOf(ctx context.Context, run sh.Runner, gitDir, ref string) (string, error) {
	out, err := git(ctx, run, gitDir, "rev-parse", "--quiet", "--verify", ref+"^{tree}").Output()
	if sh.ExitCode(err) == 1 {
		return "", nil
	}
	return strings.TrimSpace(string(out)), GitError(err)
}

// An importer turns an archive into the language of git fast-import.
type importer struct {
	out     *bufio.Writer
	top     string // the folder that all entries are in, left out of the tree
	entries int
	size    int64
	kconfig bool
	version string
}

func (im *importer) run(w io.Writer, r io.Reader) error {
	im.out = bufio.NewWriterSize(w, 1<<20)
	fmt.Fprintf(im.out, "commit %s\ncommitter runvm <runvm> 0 +0000\ndata 0\n", tornRef)
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := im.entry(h, archive); err != nil {
			return err
		}
	}
	if im.version == "" || !im.kconfig {
		return fmt.Errorf("%w: no Makefile with a version and no Kconfig", ErrNotKernel)
	}
	im.out.WriteString("done\n")
	return im.out.Flush()
}

func (im *importer) entry(h *tar.Header, body io.Reader) error {
	if im.entries++; im.entries > maxEntries {
		return fmt.Errorf("archive has more than %d entries", maxEntries)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, tar.TypeDir:
		return nil
	case tar.TypeReg, tar.TypeSymlink:
	default:
		return fmt.Errorf("archive entry %q is neither file, link nor folder (type %q)", h.Name, h.Typeflag)
	}
	name, err := im.name(h.Name)
	if err != nil {
		return fmt.Errorf("archive entry: %w", err)
	}
	if h.Typeflag == tar.TypeSymlink {
		return im.link(name, h.Linkname)
	}
	return im.file(name, h, body)
}

// name returns the path in the tree of an entry.
func (im *importer) name(entry string) (string, error) {
	top, name, found := strings.Cut(strings.TrimPrefix(entry, "./"), "/")
	if !found || (im.top != "" && top != im.top) {
		return "", fmt.Errorf("path %q is not in the folder %q of the archive", entry, im.top)
	}
	im.top = top
	return name, CheckPath(name)
}

func (im *importer) link(name, target string) error {
	if err := CheckLink(name, target); err != nil {
		return fmt.Errorf("archive entry: %w", err)
	}
	_, err := fmt.Fprintf(im.out, "M 120000 inline %s\ndata %d\n%s\n", quotePath(name), len(target), target)
	return err
}

func (im *importer) file(name string, h *tar.Header, body io.Reader) error {
	im.size += h.Size
	if h.Size > maxFileSize || im.size > maxTreeSize {
		return fmt.Errorf("archive entry %q: larger than %d MiB, or all larger than %d GiB", name, maxFileSize>>20, maxTreeSize>>30)
	}
	mode := "100644"
	if h.Mode&0o111 != 0 {
		mode = "100755"
	}
	switch name {
	case "Kconfig":
		im.kconfig = true
	case "Makefile":
		head, err := io.ReadAll(io.LimitReader(body, 64<<10))
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		im.version = makefileVersion(head)
		body = io.MultiReader(bytes.NewReader(head), body)
	}
	fmt.Fprintf(im.out, "M %s inline %s\ndata %d\n", mode, quotePath(name), h.Size)
	if _, err := io.Copy(im.out, body); err != nil {
		return fmt.Errorf("archive entry %q: %w", name, err)
	}
	return im.out.WriteByte('\n')
}

// quotePath keeps fast-import from reading a leading quote as syntax.
func quotePath(name string) string {
	if strings.HasPrefix(name, `"`) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return name
}

// makefileVersion returns what "make kernelversion" would print for a tree
// with this top Makefile, "" when it is not one of Linux.
func makefileVersion(makefile []byte) string {
	value := map[string]string{}
	for line := range strings.Lines(string(makefile)) {
		name, v, found := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if _, seen := value[name]; found && !seen {
			value[name] = strings.TrimSpace(v)
		}
	}
	if value["VERSION"] == "" || value["PATCHLEVEL"] == "" {
		return ""
	}
	version := value["VERSION"] + "." + value["PATCHLEVEL"]
	if sub := value["SUBLEVEL"]; sub != "" {
		version += "." + sub
	}
	return version + value["EXTRAVERSION"]
}
