package initramfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/runvm/runvm/internal/wire"
)

// listing is an archive of files as lines.
func listing(t *testing.T, files []File) string {
	t.Helper()
	var buf bytes.Buffer
	if err := writeArchive(&buf, files); err != nil {
		t.Fatal(err)
	}
	if buf.Len()%4 != 0 {
		t.Errorf("archive of %d bytes: another cannot follow it", buf.Len())
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(buf.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range records {
		var content bytes.Buffer
		if r.ReaderAt != nil {
			text := make([]byte, r.FileSize)
			_, _ = r.ReadAt(text, 0)
			content.Write(text)
		}
		fmt.Fprintf(&b, "%s %o %d:%d %d %q\n", r.Name, r.Mode, r.UID, r.GID, r.MTime, content.String())
	}
	return b.String()
}

func TestArchiveHoldsFilesInOrder(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("text"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := listing(t, []File{
		{Path: "/z", Link: "/b/c"},
		{Path: "/b/c/d", Source: source},
		{Path: "/b/c/d", Source: source},
		{Path: "/a", Data: []byte{}, Mode: 0o600},
		{Path: "/b/e", Source: source, Mode: 0o444},
		{Path: "/b"},
	})
	const want = `a 100600 0:0 0 ""
b 40755 0:0 0 ""
b/c 40755 0:0 0 ""
b/c/d 100755 0:0 0 "text"
b/e 100444 0:0 0 "text"
z 120777 0:0 0 "/b/c"
`
	if got != want {
		t.Errorf("archive\n%s, want\n%s", got, want)
	}
}

func TestArchiveRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for want, files := range map[string][]File{
		"not a clean absolute path": {{Path: "/a/../b", Data: []byte{}}},
		"not a clean absolute":      {{Path: "a", Data: []byte{}}},
		"not a clean":               {{Path: "/", Data: []byte{}}},
		"two different files":       {{Path: "/a", Data: []byte{}}, {Path: "/a", Link: "b"}},
		"/a is not a directory":     {{Path: "/a", Data: []byte{}}, {Path: "/a/b", Link: "b"}},
		"not a regular file":        {{Path: "/a", Source: "/dev/zero"}},
		"no such file":              {{Path: "/a", Source: "/nonexistent/file"}},
	} {
		err := writeArchive(&bytes.Buffer{}, files)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", files, err, want)
		}
	}
}

// Two caches, the same bytes; and nothing is written twice to one.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	spec := Spec{
		Files: []File{{Path: "/test/a", Data: []byte("a")}},
		Plan:  wire.Plan{Tests: []wire.Test{{ID: "a", Argv: []string{"/test/a"}}}, Sysctls: map[string]string{"b": "1", "a": "2"}},
	}
	sums := make(map[string]int)
	for range 2 {
		b := &Builder{Cache: t.TempDir()}
		image, err := b.Build(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		for _, part := range image.Parts() {
			text, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			sum.Write(text)
		}
		sums[fmt.Sprintf("%x", sum.Sum(nil))]++
		checkReuse(t, b, spec, image)
	}
	if len(sums) != 1 {
		t.Errorf("two builds gave %d different images", len(sums))
	}
}

func checkReuse(t *testing.T, b *Builder, spec Spec, image *Image) {
	t.Helper()
	before, err := os.ReadDir(b.Cache)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadDir(b.Cache)
	if len(after) != len(before) || strings.Join(again.Parts(), " ") != strings.Join(image.Parts(), " ") {
		t.Errorf("built again: %v, then %v", image, again)
	}
	spec.Plan.Tests[0].Env = []string{"X=1"}
	changed, err := b.Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for i := range image.Parts() {
		if same := changed.Parts()[i] == image.Parts()[i]; same != (i < len(image.Parts())-1) {
			t.Errorf("another plan: part %d of %d is the same: %v", i, len(image.Parts()), same)
		}
	}
	spec.Plan.Tests[0].Env = nil
}

// The modules that are compiled on the user's machine require what the
// repository requires.
func TestEmbeddedModulesFollowTheRepository(t *testing.T) {
	t.Parallel()
	for file, path := range map[string]string{
		"init/module.txt":     "golang.org/x/sys",
		"commands/module.txt": "github.com/u-root/u-root",
	} {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(string(out)); !strings.Contains(string(text), want) {
			t.Errorf("%s does not require %s: run `go get %s` in a module of these files", file, want, strings.Replace(want, " ", "@", 1))
		}
	}
}
