package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func TestImportedTreeIsTheArchive(t *testing.T) {
	t.Parallel()
	tree := toyTree(t, toy("3"))
	dir := filepath.Join(t.TempDir(), "linux")
	if err := Checkout(t.Context(), sh.Runner{}, tree, dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(toy("3"), read(t, dir)); diff != "" {
		t.Errorf("content differs (-archive +checkout):\n%s", diff)
	}
	out, err := tree.Git(t.Context(), sh.Runner{}, "ls-tree", tree.ID+":scripts").Output()
	if err != nil || !strings.HasPrefix(string(out), "100755 ") {
		t.Errorf("scripts: %s, %v; want an executable", out, err)
	}
}

func TestHostileArchiveIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry tar.Header
		want  string
	}{
		"parent":        {tar.Header{Name: "linux/../../etc/passwd"}, "leaves the tree"},
		"absolute":      {tar.Header{Name: "linux//etc/passwd"}, "leaves the tree"},
		"git":           {tar.Header{Name: "linux/fs/.GIT/hooks/post-checkout"}, ".git folder"},
		"line":          {tar.Header{Name: "linux/a\nD Makefile"}, "control character"},
		"other top":     {tar.Header{Name: "other/file"}, "not in the folder"},
		"link up":       {tar.Header{Name: "linux/fs/l", Typeflag: tar.TypeSymlink, Linkname: "../../x"}, "points out"},
		"link absolute": {tar.Header{Name: "linux/fs/l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, "points out"},
		"hard link":     {tar.Header{Name: "linux/h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, "neither file"},
		"device":        {tar.Header{Name: "linux/d", Typeflag: tar.TypeBlock}, "neither file"},
		"large":         {tar.Header{Name: "linux/big", Size: maxFileSize + 1}, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			im := &importer{}
			archive := append(endless(t, toy("1")), header(t, c.entry)...)
			err := im.run(io.Discard, bytes.NewReader(archive))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
		})
	}
}

// endless is a tarball without its end mark, so that entries can follow.
func endless(t *testing.T, files map[string]string) []byte {
	return bytes.TrimSuffix(tarball(t, "linux", files), make([]byte, 1024))
}

func header(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	h.Mode = 0o644
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestTornImportIsNeverSeen(t *testing.T) {
	t.Parallel()
	archive := tarball(t, "linux", toy("1"))
	s := &Store{Dir: t.TempDir()}
	tree := &Tree{Base: "toy", Digest: digest(archive)}
	get := func(r io.Reader) error { return s.importXZ(t.Context(), tree, "toy", r, int64(len(archive))) }
	for at := range 8 {
		// Cut where an entry ends an archive looks whole; xz knows better.
		cut := compress(t, archive[:len(archive)/1024*at/8*512])
		if err := get(bytes.NewReader(cut[:len(cut)-4])); err == nil {
			t.Fatalf("%d/8 of an archive was imported", at)
		}
		if id, err := treeOf(t.Context(), sh.Runner{}, s.repo("toy"), "refs/runvm/"+tree.Digest); id != "" || err != nil {
			t.Errorf("the part has tree %q, %v", id, err)
		}
	}
	for _, pattern := range []string{"fast_import_crash_*", "objects/pack/tmp_*"} {
		if left, _ := filepath.Glob(filepath.Join(s.repo("toy"), pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if err := get(bytes.NewReader(compress(t, archive))); err != nil || tree.Version != "6.12.1" {
		t.Errorf("the whole archive after it: %+v, %v", tree, err)
	}
	if err := get(strings.NewReader("must not be read")); err != nil {
		t.Errorf("an archive that is there was read again: %v", err)
	}
}

func TestArchiveWithoutKernelIsRefused(t *testing.T) {
	t.Parallel()
	for _, absent := range []string{"Makefile", "Kconfig"} {
		files := maps.Clone(toy("1"))
		delete(files, absent)
		err := (&importer{}).run(io.Discard, bytes.NewReader(tarball(t, "linux", files)))
		if err == nil || !strings.Contains(err.Error(), "not a kernel tree") {
			t.Errorf("without %s: error %v", absent, err)
		}
	}
}

func TestMakefileVersion(t *testing.T) {
	t.Parallel()
	for makefile, want := range map[string]string{
		"VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n":   "6.12.117",
		"VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n": "7.3.0-rc1",
		"VERSION = 6\nPATCHLEVEL = 1\nVERSION = 9\n":                       "6.1",
		"all:\n\tcc -o x x.c\n":                                            "",
	} {
		if got := makefileVersion([]byte(makefile)); got != want {
			t.Errorf("%q: version %q, want %q", makefile, got, want)
		}
	}
}

// FuzzArchive checks that whatever an archive holds, fast-import is told only
// of paths that stay in the tree.
func FuzzArchive(f *testing.F) {
	f.Add(tarball(f, "linux", toy("1")))
	f.Add([]byte("not an archive"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		out := &sh.Tail{Max: 16} // a sparse file of half a GiB takes a few bytes
		if (&importer{}).run(out, bytes.NewReader(archive)) == nil && !strings.HasSuffix(out.String(), "done\n") {
			t.Error("an accepted archive does not end with done")
		}
	})
}

// FuzzPath checks the rule that all else leans on.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"fs/splice.c", "../x", "/x", "a/../../x", "a/.git/x", ""} {
		f.Add(path, "../y")
	}
	f.Fuzz(func(t *testing.T, path, target string) {
		if CheckPath(path) != nil {
			return
		}
		if full := filepath.Join("/tree", path); !strings.HasPrefix(full, "/tree/") {
			t.Errorf("%q was accepted and is %s", path, full)
		}
		if CheckLink(path, target) != nil {
			return
		}
		to := filepath.Join("/tree", filepath.Dir(path), target)
		if filepath.IsAbs(target) || to != "/tree" && !strings.HasPrefix(to, "/tree/") {
			t.Errorf("link %q to %q was accepted and is %s", path, target, to)
		}
	})
}

func TestFullDiskIsTheCauseWhateverWroteToIt(t *testing.T) {
	t.Parallel()
	// dpkg-deb exits with 2 when nobody reads on.
	cmd := sh.Runner{}.Command(t.Context(), "", "sh", "-c", "yes; exit 2")
	err := filter(cmd, func(io.Reader) error { return fmt.Errorf("unpack: %w", ErrDiskFull) })
	if !errors.Is(err, ErrDiskFull) {
		t.Errorf("error %v", err)
	}
}
