package recipe

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/verdict"
)

const (
	program = "#!/bin/sh\n"
	image   = "of a disk"
)

// toy is a recipe in a folder with all its files.
func toy(t *testing.T) (*Recipe, string) {
	t.Helper()
	dir := t.TempDir()
	patch := "Subject: [PATCH] x\n"
	r := &Recipe{
		Schema: Schema, Source: Source{Spec: "6.12", Base: "debian-6.12", Tree: strings.Repeat("a", 40)},
		Series:  []Series{{Name: "x.mbox", Patches: []Patch{{Name: "x.mbox#1", File: "patches/1/0001-x.patch", SHA256: Sum([]byte(patch))}}}},
		Machine: Machine{Disk: &File{Path: "/dev/vda", SHA256: Sum([]byte(image))}},
		Tests: Tests{
			Programs: []Program{{ID: "a", Argv: []string{"/test/0/a"}}},
			Files:    []File{{Path: "/test/0/a", SHA256: Sum([]byte(program))}, {Path: "/test/0/b", SHA256: Sum([]byte(program))}, {Path: "/dir"}},
		},
	}
	for name, text := range map[string]string{"config": "CONFIG_A=y\n", "patches/1/0001-x.patch": patch, "program": program, "image": image} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestBundleIsUnpackedAsItWas(t *testing.T) {
	t.Parallel()
	r, dir := toy(t)
	find := func(f File) (string, error) {
		if f.Path == "/dev/vda" {
			return filepath.Join(dir, "image"), nil
		}
		return filepath.Join(dir, "program"), nil
	}
	var bundles [2][]byte
	for i := range bundles {
		to := filepath.Join(t.TempDir(), "b.tar")
		if err := r.Bundle(dir, to, find); err != nil {
			t.Fatal(err)
		}
		bundles[i], _ = os.ReadFile(to)
	}
	if !bytes.Equal(bundles[0], bundles[1]) {
		t.Error("two bundles of one recipe differ")
	}
	there := t.TempDir()
	if err := Unpack(bytes.NewReader(bundles[0]), there); err != nil {
		t.Fatal(err)
	}
	again, err := Read(there)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, again); d != "" {
		t.Errorf("recipe (-want +got):\n%s", d)
	}
	file := filepath.Join(there, "files", Sum([]byte(program)))
	if text, err := os.ReadFile(file); err != nil || string(text) != program {
		t.Errorf("program: %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(there, "files", Sum([]byte(image)))); err != nil || string(text) != image {
		t.Errorf("disk: %q, %v", text, err)
	}
	if info, _ := os.Stat(file); info.Mode()&0o111 != 0 {
		t.Error("the program can be executed on the host")
	}
	to := filepath.Join(t.TempDir(), "b.tar")
	if err := r.Bundle(dir, to, func(File) (string, error) { return "", errors.New("gone") }); err == nil {
		t.Error("a bundle without a program")
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("half a bundle was left")
	}
}

// A bundle that no Unpack would take is not written.
func TestBundleIsBounded(t *testing.T) {
	t.Parallel()
	r, dir := toy(t)
	huge := filepath.Join(dir, "huge")
	if err := errors.Join(os.WriteFile(huge, nil, 0o644), os.Truncate(huge, maxBundle)); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "b.tar")
	err := r.Bundle(dir, to, func(f File) (string, error) {
		if f.Path == "/dev/vda" {
			return huge, nil
		}
		return filepath.Join(dir, "program"), nil
	})
	if err == nil || !strings.Contains(err.Error(), "more than 2048 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestDigestsAreOfRegularFiles(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, "/dev/zero", t.TempDir(), "none", ""} {
		if _, err := SumFile(t.Context(), name); err == nil {
			t.Errorf("%q has a digest", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SumFile(ctx, "recipe.go"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func TestHostileBundlesAreRefused(t *testing.T) {
	t.Parallel()
	header := func(name string, kind byte, size int64) *tar.Header {
		return &tar.Header{Name: name, Typeflag: kind, Linkname: "/etc", Size: size, Mode: 0o777}
	}
	sum := strings.Repeat("0", 64)
	for want, headers := range map[string][]*tar.Header{
		`"../recipe.json" has no place`:     {header("../recipe.json", tar.TypeReg, 0)},
		`"/etc/passwd" has no place`:        {header("/etc/passwd", tar.TypeReg, 0)},
		`"patches/1/../../x.patch" has no`:  {header("patches/1/../../x.patch", tar.TypeReg, 0)},
		`"patches" has no place`:            {header("patches", tar.TypeSymlink, 0)},
		`"config" has no place`:             {header("config", tar.TypeLink, 0)},
		`"files/` + sum + `x" has no place`: {header("files/"+sum+"x", tar.TypeReg, 0)},
		"config comes twice":                {header("config", tar.TypeReg, 0), header("config", tar.TypeReg, 0)},
		"a bundle of more than 2048 MiB":    {header("files/"+sum, tar.TypeReg, 3<<30)},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if h.Typeflag != tar.TypeReg {
				h.Size = 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		dir := t.TempDir()
		err := Unpack(bytes.NewReader(b.Bytes()), filepath.Join(dir, "in"))
		if !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", want, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 1 {
			t.Errorf("%s: wrote outside of its folder: %v", want, left)
		}
	}
	if err := Unpack(strings.NewReader("no tar"), t.TempDir()); !errors.Is(err, ErrBad) {
		t.Errorf("no tar: %v", err)
	}
}

func TestHostileRecipesAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Recipe){
		"another schema":       func(r *Recipe) { r.Schema = 2 },
		"base leaves":          func(r *Recipe) { r.Source.Base = "../x" },
		"tree is a flag":       func(r *Recipe) { r.Source.Tree = "--help" },
		"no kernel":            func(r *Recipe) { r.Source.Tree = "" },
		"patch leaves":         func(r *Recipe) { r.Series[0].Patches[0].File = "patches/1/../../../etc/passwd" },
		"patch is absolute":    func(r *Recipe) { r.Series[0].Patches[0].File = "/etc/passwd" },
		"digest leaves":        func(r *Recipe) { r.Tests.Files[0].SHA256 = "../../x" },
		"disk's digest leaves": func(r *Recipe) { r.Machine.Disk.SHA256 = "../../x" },
		"disk of any bytes":    func(r *Recipe) { r.Machine.Disk.SHA256 = "" },
		"nothing to run":       func(r *Recipe) { r.Tests.Programs = nil },
		"allowlist":            func(r *Recipe) { r.Tests.Allow = []verdict.Allowed{{Title: "("}} },
		"more than there are":  func(r *Recipe) { r.Tests.Files = make([]File, maxFiles+1) },
	} {
		r, dir := toy(t)
		spoil(r)
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrBad) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestOutcomesAreCompared(t *testing.T) {
	t.Parallel()
	then := Outcome{Verdict: verdict.Crash, Results: []string{"a: T: pass", "a: U: crash", "kernel: BUG", "kernel: BUG"}}
	now := Outcome{Verdict: verdict.Pass, Results: []string{"a: T: pass", "a: U: pass", "kernel: BUG"}}
	want := []string{"verdict: pass here, crash in the recipe", "only here: a: U: pass", "only in the recipe: a: U: crash", "only in the recipe: kernel: BUG"}
	if d := cmp.Diff(want, then.Differs(now)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if same := then.Differs(then); same != nil {
		t.Errorf("the same: %q", same)
	}
}

// TestSchemaIsDocumented holds every struct of recipe.json against
// docs/recipe.md.
func TestSchemaIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/recipe.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, section := map[string]bool{}, ""
	row := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(name)
		}
		if m := row.FindStringSubmatch(line); m != nil {
			documented[section+"."+m[1]] = true
		}
	}
	for _, v := range []any{Recipe{}, Source{}, Series{}, Patch{}, Config{}, Machine{}, Tests{}, Program{}, File{}, Outcome{}} {
		typ := reflect.TypeOf(v)
		for _, f := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if field := fmt.Sprintf("%s.%s", typ.Name(), name); !documented[field] {
				t.Errorf("docs/recipe.md has no row for %s", field)
			}
		}
	}
}
