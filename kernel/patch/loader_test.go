package patch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

func TestStandardInputIsReadOnceAndKept(t *testing.T) {
	t.Parallel()
	l := &Loader{Stdin: strings.NewReader(asMail("[PATCH] a", change(10, "a")))}
	for range 2 {
		series, err := l.Load(t.Context(), []string{"-"})
		if err != nil || series[0].Patches[0].Name != "stdin" {
			t.Fatalf("%+v, error %v", series, err)
		}
	}
	if _, err := Load([]string{"-"}); !errors.Is(err, ErrRefused) {
		t.Errorf("no standard input: error %v", err)
	}
}

// gitTree is a repository with three commits and, on a branch, a merge. Its
// own configuration would spoil patches.
func gitTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Zoë", "-c", "user.email=z@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "splice.c"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", ".")
	}
	git("init", "-q", "-b", "main")
	for name, value := range map[string]string{"diff.noprefix": "true", "format.attach": "x", "format.subjectPrefix": "NO", "format.coverLetter": "true", "format.signOff": "true", "color.ui": "always"} {
		git("config", name, value)
	}
	write("1\n2\n3\n4\n \n")
	git("commit", "-q", "-m", "base")
	git("tag", "base")
	write("1\ntwo\n3\n4\n \n")
	git("commit", "-q", "-m", "größer: two\n\nFrom here on 12:00 is noon 2026\n\nFrom x Mon Sep 17 12:00:00 2001\n")
	write("1\ntwo\n3\nfour\n \n")
	git("commit", "-q", "-m", "four")
	git("checkout", "-q", "-b", "side", "base")
	git("merge", "-q", "--no-ff", "-m", "merged", "main")
	git("checkout", "-q", "main")
	return dir
}

func TestRangeOfATree(t *testing.T) {
	t.Parallel()
	dir := gitTree(t)
	s := mustLoad(t, dir+":base..main")[0]
	var got []string
	for _, p := range s.Patches {
		got = append(got, p.Name+" "+p.Subject)
	}
	if want := []string{"base..main#1 größer: two", "base..main#2 four"}; !slices.Equal(got, want) {
		t.Errorf("patches %q, want %q", got, want)
	}
	if len(s.BaseCommit) != 40 {
		t.Errorf("base %q", s.BaseCommit)
	}
	// The last line of context is a blank.
	if raw := string(s.Patches[1].raw); !strings.Contains(raw, "--- a/splice.c") || !strings.HasSuffix(strings.TrimRight(raw, "\n"), "\n  ") {
		t.Errorf("patch:\n%q", raw)
	}
	for spec, want := range map[string]string{
		":base..side":  "1 merges in it",
		":main..base":  "0 commits, want 1 to 512",
		":base..none":  "bad revision",
		":base...main": "no such file or folder",
		":--all..main": "no such file or folder",
		":base":        "no such file or folder",
	} {
		if _, err := Load([]string{dir + spec}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %s", spec, err, want)
		}
	}
}

// TestNet puts a b4 of its own before the real one: it writes a thread into
// the Maildir it is given, or fails as the real one does.
func TestNet(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\ncase \"$5\" in\nbad*) echo 'Looking up' >&2; echo 'CRITICAL: no network' >&2; exit 1;;\nesac\n" +
		"echo \"$*\" >\"" + bin + "/args\"\ncat >\"$4/new/1\" <<'END'\n" + asMail("[PATCH] a", change(10, "a")) + "END\n"
	if err := os.WriteFile(filepath.Join(bin, "b4"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, spec := range []string{"20261102.1-w@example.com", "<20261102.1-w@example.com>", "https://lore.kernel.org/all/20261102.1-w@example.com/"} {
		series, err := Load([]string{spec})
		if err != nil || len(series[0].Patches) != 1 {
			t.Errorf("%s: %+v, error %v", spec, series, err)
		}
		args, err := os.ReadFile(filepath.Join(bin, "args"))
		if want := "-q mbox -o "; err != nil || !strings.HasPrefix(string(args), want) {
			t.Errorf("b4 got %q, want %q; error %v", args, want, err)
		}
	}
	if _, err := Load([]string{"bad@example.com"}); err == nil || !strings.HasSuffix(err.Error(), "off-line?): b4: exit status 1: CRITICAL: no network") {
		t.Errorf("error %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	var missing *source.MissingTool
	if _, err := Load([]string{"bad@example.com"}); !errors.As(err, &missing) || strings.Contains(err.Error(), "\n") {
		t.Errorf("no b4: error %v", err)
	}
}

func TestCheckSpec(t *testing.T) {
	t.Parallel()
	dir := gitTree(t)
	for spec, ok := range map[string]bool{
		"-": true, "testdata": true, "a@b.example": true, "http://example.com/x": true, dir + ":base..main": true,
		"none": false, "-x@b": false, "none/a@b": false, dir + ":base": false, "none:a..b": false, "": false, "--help": false,
	} {
		if err := CheckSpec(spec); (err == nil) != ok {
			t.Errorf("%q: error %v", spec, err)
		}
	}
}

// TestWrittenSeriesIsTheSame: a thread is written as a folder, read again and
// applied by git am: all give the same tree.
func TestWrittenSeriesIsTheSame(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, "testdata/thread.mbox")[0]
	dir := filepath.Join(t.TempDir(), "deep", "series")
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"0000-cover-letter.patch", "0001-fs-say-ten.patch", "0002-fs-say-twenty.patch", "0003-fs-say-thirty.patch"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	again := mustLoad(t, dir)[0]
	if again.Title != s.Title || again.Version != 2 || again.BaseCommit != s.BaseCommit || len(again.Notes) != 0 {
		t.Errorf("read again: %+v", again)
	}
	tree := toyTree(t)
	one, _, err := Apply(t.Context(), sh.Runner{}, tree, []Series{s}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := Apply(t.Context(), sh.Runner{}, tree, []Series{again}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if am := gitAm(t, dir, names[1:]); one.ID != two.ID || content(t, one, "fs/splice.c") != am {
		t.Errorf("trees %s and %s; git am has:\n%s", one.ID, two.ID, am)
	}
	if err := s.Write(dir); err == nil || !strings.Contains(err.Error(), "must be an empty folder or a new one") {
		t.Errorf("written over: error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".series-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// gitAm returns fs/splice.c after git am of patches in dir.
func gitAm(t *testing.T, dir string, patches []string) string {
	t.Helper()
	work := t.TempDir()
	file := filepath.Join(work, "fs", "splice.c")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(lines(1, 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	am := []string{"am", "-q"}
	for _, p := range patches {
		am = append(am, filepath.Join(dir, p))
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-q", "-m", "base"}, am} {
		cmd := exec.Command("git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPlainDiffsAreWritten: what nobody sent becomes a series that git am
// reads.
func TestPlainDiffsAreWritten(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, folder(t, map[string]string{"a.patch": change(10, "a"), "b.patch": change(20, "b"), "c.patch": asMail("[PATCH] Füße", change(30, "c"))}))[0]
	dir := filepath.Join(t.TempDir(), "s")
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, dir)[0]
	if again.Total != 3 || again.Patches[0].Subject != "a.patch" || again.Patches[2].Subject != "Füße" {
		t.Errorf("%+v", again)
	}
	files, _ := filepath.Glob(dir + "/*.patch")
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if got := gitAm(t, dir, names); !strings.Contains(got, "\n9\na\n11\n") || !strings.Contains(got, "\nc\n") {
		t.Errorf("git am has:\n%s", got)
	}
}
