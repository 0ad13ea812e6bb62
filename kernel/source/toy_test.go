package source

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/sh"
)

// toy is a kernel tree of a few lines; the key is the path, and the value of
// a path that ends in "@" is where a link points.
func toy(sublevel string) map[string]string {
	return map[string]string{
		"Makefile":         "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = " + sublevel + "\nEXTRAVERSION =\n",
		"Kconfig":          "mainmenu \"toy\"\n",
		".gitignore":       "*.o\n*.gen\n",
		".gitattributes":   "* text=auto eol=crlf ident\n",
		"fs/splice.c":      "int splice;\n/* $Id$ */\n",
		"fs/kept.gen":      "tracked, though ignored\n",
		"scripts/run.sh":   "#!/bin/sh\n",
		"arch/x86/Kconfig": "",
		"include/to-fs@":   "../fs/splice.c",
	}
}

// tarball returns files as an archive with all of it in the folder top.
func tarball(t testing.TB, top string, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, text := range files {
		h := &tar.Header{Name: top + "/" + name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if filepath.Ext(name) == ".sh" {
			h.Mode = 0o755
		}
		if link, ok := strings.CutSuffix(name, "@"); ok {
			h.Name, h.Typeflag, h.Linkname, h.Size = top+"/"+link, tar.TypeSymlink, text, 0
			text = ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func compress(t testing.TB, plain []byte) []byte {
	t.Helper()
	cmd := exec.Command("xz", "-0")
	cmd.Stdin = bytes.NewReader(plain)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("needs xz: %v", err)
	}
	return out
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// write makes files in dir.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if filepath.Ext(name) == ".sh" {
			mode = 0o755
		}
		var err error
		if link, ok := strings.CutSuffix(path, "@"); ok {
			err = os.Symlink(text, link)
		} else {
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the files in dir, as toy has them.
func read(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.Type() == fs.ModeSymlink {
			files[name+"@"], err = os.Readlink(path)
			return err
		}
		text, err := os.ReadFile(path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// toyGit runs git as a user would in dir.
func toyGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "core.autocrlf=false"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// toyTree imports files into a store of its own.
func toyTree(t testing.TB, files map[string]string) *Tree {
	t.Helper()
	tree := &Tree{Base: "toy", Digest: "toy", GitDir: filepath.Join(t.TempDir(), "toy.git")}
	addTree(t, tree, files)
	return tree
}

// addTree imports files into tree's repository and makes tree that.
func addTree(t testing.TB, tree *Tree, files map[string]string) {
	t.Helper()
	if err := makeRepo(t.Context(), sh.Runner{}, tree.GitDir); err != nil {
		t.Fatal(err)
	}
	archive := tarball(t, "linux", files)
	id, err := importTar(t.Context(), sh.Runner{}, tree.GitDir, bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	tree.ID = id
}
