package patch

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"mime/quotedprintable"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/patch/mail"
	"github.com/runvm/runvm/kernel/source"
)

// lines returns the numbers from first to last, one a line.
func lines(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// toyTree is a kernel tree with fs/splice.c of a hundred numbered lines.
func toyTree(t *testing.T) *source.Tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Makefile": "VERSION = 6\nPATCHLEVEL = 12\n", "Kconfig": "", "fs/splice.c": lines(1, 100), "fs/old.c": "old\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := (&source.Store{Dir: t.TempDir()}).Get(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// change is a diff that turns one line of fs/splice.c into text.
func change(line int, text string) string {
	return fmt.Sprintf("diff --git a/fs/splice.c b/fs/splice.c\n--- a/fs/splice.c\n+++ b/fs/splice.c\n@@ -%d,3 +%d,3 @@\n %d\n-%d\n+%s\n %d\n",
		line-1, line-1, line-1, line, text, line+1)
}

func create(name, text string) string {
	return fmt.Sprintf("diff --git a/%[1]s b/%[1]s\nnew file mode 100644\n--- /dev/null\n+++ b/%[1]s\n@@ -0,0 +1 @@\n+%[2]s\n", name, text)
}

func asMail(subject, body string) string {
	return "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n" +
		"From: A <a@example.com>\nDate: Mon, 1 Jan 2026 00:00:00 +0000\nSubject: " + subject + "\n\nWhy.\n---\n" + body + "-- \n2.39.5\n\n"
}

// folder is a series folder with files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t *testing.T, paths ...string) []Series {
	t.Helper()
	series, err := Load(paths)
	if err != nil {
		t.Fatal(err)
	}
	return series
}

func content(t *testing.T, tree *source.Tree, path string) string {
	t.Helper()
	out, err := tree.Git(t.Context(), sh.Runner{}, "cat-file", "blob", tree.ID+":"+path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestSeriesFolderIsReadInOrder(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"0000-cover-letter.patch": asMail("[PATCH 0/2] toy", ""),
		"0001-first.patch":        asMail("[PATCH v2 1/2] fs: first\n thing", change(10, "ten")),
		"0002-second.patch":       asMail("[PATCH v2 2/2] fs: second", change(20, "twenty")+create("fs/new.c", "new")),
		"SOURCE":                  "linux-source-6.12\n",
		"notes.txt":               "not a patch",
	})
	tree := toyTree(t)
	patched, applied, err := Apply(t.Context(), sh.Runner{}, tree, mustLoad(t, dir), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range applied {
		got = append(got, fmt.Sprint(a.Name, " ", a.Subject, " ", a.Files))
	}
	want := []string{"0001-first.patch fs: first thing [fs/splice.c]", "0002-second.patch fs: second [fs/new.c fs/splice.c]"}
	if !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
	text := strings.Replace(strings.Replace(lines(1, 100), "\n10\n", "\nten\n", 1), "\n20\n", "\ntwenty\n", 1)
	if content(t, patched, "fs/splice.c") != text || content(t, patched, "fs/new.c") != "new\n" {
		t.Error("the patched tree has other content")
	}
	if content(t, tree, "fs/splice.c") != lines(1, 100) || patched.Base != tree.Base || applied[1].Tree != patched.ID {
		t.Errorf("tree %+v became %+v", tree, patched)
	}
}

func TestFormsOfAPatch(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	diff := change(10, "é ten")
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	fmt.Fprint(w, diff)
	w.Close()
	head := "Subject: x\nContent-Transfer-Encoding: "
	for name, text := range map[string]string{
		"diff":             diff,
		"remark":           "Description: a remark\n over two lines\n\n" + diff,
		"traditional":      strings.TrimPrefix(diff, "diff --git a/fs/splice.c b/fs/splice.c\n"),
		"mail":             asMail("x", diff),
		"crlf":             strings.ReplaceAll(asMail("x", diff), "\n", "\r\n"),
		"quoted-printable": head + "quoted-printable\n\n" + strings.ReplaceAll(qp.String(), "\r\n", "\n"),
		"base64":           head + "base64\n\n" + base64.StdEncoding.EncodeToString([]byte(diff)),
		"parts":            "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nWhy.\n--b\nContent-Type: text/x-patch\n\n" + diff + "--b\nContent-Type: application/pgp-signature\n\nxx\n--b--\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			series := mustLoad(t, filepath.Join(folder(t, map[string]string{"x.patch": text}), "x.patch"))
			patched, _, err := Apply(t.Context(), sh.Runner{}, tree, series, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, patched, "fs/splice.c"); !strings.Contains(got, "\n9\né ten\n11\n") {
				t.Errorf("patched file:\n%s", got)
			}
		})
	}
}

func TestMboxIsSplit(t *testing.T) {
	t.Parallel()
	box := asMail("[PATCH 0/2] cover", "From me to you at 12:00 in 2026\n") + asMail("[PATCH 1/2] a", change(10, "x")) + asMail("[PATCH 2/2] b", change(20, "y"))
	series := mustLoad(t, filepath.Join(folder(t, map[string]string{"t.mbox": box}), "t.mbox"))
	var names []string
	for _, p := range series[0].Patches {
		names = append(names, p.Name+" "+p.Subject)
	}
	if want := []string{"t.mbox#2 a", "t.mbox#3 b"}; !slices.Equal(names, want) {
		t.Errorf("patches %q, want %q", names, want)
	}
}

func TestPatchThatDoesNotFitIsNamed(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	second := strings.TrimPrefix(change(50, "y"), change(50, "y")[:strings.Index(change(50, "y"), "@@")])
	for name, c := range map[string]struct{ diff, want string }{
		"hunk":    {change(10, "x") + strings.Replace(second, "-50", "-fifty", 1), "apply 0002-bad.patch: hunk 2 of fs/splice.c does not apply (line 49)"},
		"absent":  {strings.ReplaceAll(change(10, "x"), "splice.c", "none.c"), "apply 0002-bad.patch: fs/none.c: the tree has no such file"},
		"present": {create("fs/old.c", "new"), "apply 0002-bad.patch: fs/old.c: the tree has this file already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{"0001-good.patch": change(30, "good"), "0002-bad.patch": c.diff})
			_, _, err := Apply(t.Context(), sh.Runner{}, tree, mustLoad(t, dir), 0, nil)
			var apply *ApplyError
			if !errors.As(err, &apply) || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if content(t, tree, "fs/splice.c") != lines(1, 100) {
				t.Error("the tree was changed")
			}
			if left, _ := filepath.Glob(filepath.Join(tree.GitDir, "apply-*")); len(left) > 0 && name == "hunk" {
				t.Logf("index of another test: %v", left)
			}
		})
	}
}

const linkOut = "diff --git a/fs/l b/fs/l\nnew file mode 120000\n--- /dev/null\n+++ b/fs/l\n@@ -0,0 +1 @@\n+../../etc/passwd\n\\ No newline at end of file\n"

func TestHostilePatchIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"parent":          {create("../x", "x"), "leaves the tree"},
		"parent inside":   {create("fs/../../x", "x"), "leaves the tree"},
		"absolute":        {create("/etc/x", "x"), "inconsistent new filename"},
		"git folder":      {create(".git/hooks/post-checkout", "x"), ".git folder"},
		"git folder deep": {create("fs/.Git/config", "x"), ".git folder"},
		"rename out":      {"diff --git a/fs/old.c b/../x\nsimilarity index 100%\nrename from fs/old.c\nrename to ../x\n", "leaves the tree"},
		"traditional":     {"--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "leaves the tree"},
		"only a folder":   {"--- a/x\n+++ b/\n@@ -0,0 +1 @@\n+b\n", "no folder"},
		"no folder":       {"--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "no folder"},
		"link":            {linkOut, "points out of the tree"},
		"link absolute":   {strings.Replace(linkOut, "../../etc", "/etc", 1), "points out of the tree"},
		"submodule":       {"diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n+Subproject commit 0123456789012345678901234567890123456789\n", "submodule"},
		"binary":          {"diff --git a/x b/x\nnew file mode 100644\nGIT binary patch\nliteral 99999999\nPcmZQzU|?imU|;|M00961\n\nliteral 0\nHcmV?d00001\n\n", "larger than 16 MiB"},
		"binary absent":   {"diff --git a/x b/x\nBinary files a/x and b/x differ\n", "without its data"},
		"empty":           {"", "changes nothing"},
		"text":            {"hello\n", "changes nothing"},
		"control":         {strings.ReplaceAll(create(`x`, "x"), "b/x", `"b/x\ny"`), "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load([]string{folder(t, map[string]string{"0001-x.patch": c.text})})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one refused line with %q", err, c.want)
			}
		})
	}
}

// TestWhatGitDidIsCompared passes Apply patches whose text is not what Load
// found in them, as if git and Load had read them differently.
func TestWhatGitDidIsCompared(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	for name, c := range map[string]struct{ raw, want string }{
		"other file": {create("fs/other.c", "x"), "git changed"},
		"link":       {linkOut, "points out of the tree"},
	} {
		p := Patch{Name: "x.patch", Files: []string{"fs/splice.c"}, raw: []byte(c.raw)}
		_, _, err := Apply(t.Context(), sh.Runner{}, tree, []Series{{Patches: []Patch{p}}}, 0, nil)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestBoundsAreKept(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range MaxPatches + 1 {
		many += asMail(fmt.Sprint(i), change(10, fmt.Sprint("x", i)))
	}
	if _, err := Load([]string{filepath.Join(folder(t, map[string]string{"m": many}), "m")}); !errors.Is(err, ErrRefused) {
		t.Errorf("%d patches: error %v", MaxPatches+1, err)
	}
	if _, err := mail.Parse("x", make([]byte, MaxMailSize+1)); !errors.Is(err, ErrRefused) {
		t.Errorf("a large mail: error %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo.patch")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 1)
	go func() { _, err := Load([]string{fifo}); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, ErrRefused) {
			t.Errorf("a pipe: error %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a pipe is waited for")
	}
}

func TestMissingPatchesAreOneLine(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir(), "/dev/zero"} {
		if _, err := Load([]string{path}); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// TestAppliedPatchesAreRemembered counts the git commands of a second run and
// of one whose last patch has changed.
func TestAppliedPatchesAreRemembered(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	apply := func(last string) (id string, gits int) {
		var echo bytes.Buffer
		dir := folder(t, map[string]string{"1.patch": change(10, "x"), "2.patch": change(20, "y"), "3.patch": change(30, last)})
		patched, _, err := Apply(t.Context(), sh.Runner{Echo: &echo}, tree, mustLoad(t, dir), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return patched.ID, strings.Count(echo.String(), " git apply ")
	}
	id, n := apply("z")
	if n != 3 {
		t.Errorf("first: %d patches applied, want 3", n)
	}
	if again, n := apply("z"); again != id || n != 0 {
		t.Errorf("second: %d patches applied, want 0; tree %s, want %s", n, again, id)
	}
	if other, n := apply("zz"); other == id || n != 1 {
		t.Errorf("last patch changed: %d patches applied, want 1", n)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte(asMail("[PATCH 1/2] a", change(10, "x"))))
	f.Add([]byte(linkOut))
	f.Add([]byte("--- 0\n+++ 0/\n@@ -0,2 +0,3 @@\n\n+0\n 0"))
	f.Add([]byte("--- a/x/y\n+++ b/x/y\n@@ -1 +1 @@\n-a\n+b\n"))
	f.Add([]byte(asMail("[PATCH v2 0/2] c", "") + asMail("[PATCH v2 2/2] b", change(20, "y")) + asMail("Re: [PATCH 1/2] a", change(10, "x"))))
	f.Fuzz(func(t *testing.T, text []byte) {
		mails, kind, err := mail.ReadFrom("x", bytes.NewReader(text))
		if err != nil {
			return
		}
		series, err := gather(mails, kind)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("error %q would reach a terminal", err)
			}
			return
		}
		if len(series.Patches) == 0 || len(series.Missing) > MaxPatches {
			t.Errorf("%d patches, %d missing", len(series.Patches), len(series.Missing))
		}
		for _, p := range series.Patches {
			if len(p.Files) == 0 {
				t.Error("a patch that changes nothing was accepted")
			}
			for _, name := range p.Files {
				if source.CheckPath(name) != nil {
					t.Errorf("path %q was accepted", name)
				}
			}
		}
	})
}

func TestOffsetAndFuzzAreSaid(t *testing.T) {
	t.Parallel()
	tree := toyTree(t)
	moved := strings.Replace(change(50, "x"), "@@ -49,3 +49,3 @@", "@@ -44,3 +44,3 @@", 1)
	fuzzy := "diff --git a/fs/splice.c b/fs/splice.c\n--- a/fs/splice.c\n+++ b/fs/splice.c\n@@ -27,7 +27,7 @@\n other\n 28\n 29\n-30\n+y\n 31\n 32\n 33\n"
	worse := strings.Replace(fuzzy, " 28\n", " another\n", 1)
	apply := func(fuzz int, diffs ...string) ([]Applied, error) {
		files := map[string]string{}
		for i, d := range diffs {
			files[fmt.Sprintf("%d.patch", i)] = d
		}
		_, applied, err := Apply(t.Context(), sh.Runner{}, tree, mustLoad(t, folder(t, files)), fuzz, nil)
		return applied, err
	}
	for range 2 { // the second time from memory
		applied, err := apply(1, moved, fuzzy)
		if err != nil {
			t.Fatal(err)
		}
		if applied[0].Offset != 5 || applied[0].Fuzz != 0 || applied[1].Fuzz != 1 {
			t.Errorf("offset %d and fuzz %d, then fuzz %d; want 5 and 0, then 1", applied[0].Offset, applied[0].Fuzz, applied[1].Fuzz)
		}
		// What was remembered of a fuzzy one is not for those who want none.
		if _, err := apply(0, moved, fuzzy); !errors.As(err, new(*ApplyError)) {
			t.Errorf("without fuzz: error %v", err)
		}
	}
	if _, err := apply(1, worse); !errors.As(err, new(*ApplyError)) {
		t.Errorf("fuzz 1 where 2 is needed: error %v", err)
	}
	if applied, err := apply(MaxFuzz, worse); err != nil || applied[0].Fuzz != 2 {
		t.Errorf("fuzz 2: %v, %v", applied, err)
	}
}
