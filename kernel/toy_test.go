package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/kernel/source"
)

// TestMain puts the stand-ins for make and the compilers in front of the
// host's.
func TestMain(m *testing.M) {
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		panic(err)
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	os.Exit(m.Run())
}

// A toy is a kernel tree that the stand-in make builds.
type toy struct {
	t        *testing.T
	b        Builder
	files    map[string]string
	fragment string
	steps    *steps
}

func newToy(t *testing.T) *toy {
	t.Helper()
	dir := t.TempDir()
	k := &toy{t: t, fragment: filepath.Join(dir, "toy.config"), steps: &steps{}, files: map[string]string{
		"Makefile": "toy",
		"Kconfig":  "config TOY\n\tbool\n\tdepends on PLAY && FUN\nconfig FUN\n\tbool\n",
		"a.c":      "int a;",
		"b.c":      "int b;",
		"behave":   ":",
		"kconfig":  ":",
		"unmet":    "",
		"image":    string(elfFile(true)),
	}}
	k.b = Builder{Cache: filepath.Join(dir, "cache"), Progress: k.steps}
	k.want("# why\nCONFIG_TOY=y\n")
	return k
}

func (k *toy) want(fragment string) {
	k.t.Helper()
	if err := os.WriteFile(k.fragment, []byte(fragment), 0o644); err != nil {
		k.t.Fatal(err)
	}
}

// tree makes a git tree of the toy's files.
func (k *toy) tree() *source.Tree {
	k.t.Helper()
	dir := k.t.TempDir()
	for name, text := range k.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			k.t.Fatal(err)
		}
	}
	gitDir := filepath.Join(filepath.Dir(k.b.Cache), "toy.git")
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"--git-dir=" + gitDir, "--work-tree=" + dir, "-c", "core.bare=false"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			k.t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", "-A")
	return &source.Tree{Name: "toy", Base: "toy-6.12", Version: "6.12.117", GitDir: gitDir, ID: git("write-tree")}
}

func (k *toy) request() Request { return Request{Tree: k.tree(), Profile: k.fragment, Jobs: 2} }

func (k *toy) build() (*Image, error) { return k.b.Build(context.Background(), k.request()) }

func (k *toy) mustBuild() *Image {
	k.t.Helper()
	image, err := k.build()
	if err != nil {
		k.t.Fatal(err)
	}
	return image
}

// made returns one line for each time that make was asked for an image.
func (k *toy) made() []string {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.b.Cache, "lane/toy-6.12/made"))
	if err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// stored returns the names in the store.
func (k *toy) stored() []string {
	k.t.Helper()
	entries, err := os.ReadDir(filepath.Join(k.b.Cache, "image"))
	if err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// steps is a progress.Sink that remembers the names of its steps.
type steps struct {
	mu    sync.Mutex
	names []string
	name  string // what calls then when it starts
	then  func()
}

// on lets the start of a step whose name begins with name call then.
func (s *steps) on(name string, then func()) { s.name, s.then = name, then }

func (s *steps) Start(name string, total int64, unit progress.Unit) progress.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, fmt.Sprintf("%s %d", name, total))
	if s.then != nil && strings.HasPrefix(name, s.name) {
		s.then()
	}
	return progress.Discard{}.Start(name, total, unit)
}

func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.names, "\n")
}

// elfFile is the smallest vmlinux: a header, one segment of notes, a banner.
func elfFile(pvh bool) []byte {
	name := "GNU\x00"
	if pvh {
		name = pvhName
	}
	var note bytes.Buffer
	put := func(w *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(w, binary.LittleEndian, v)
		}
	}
	put(&note, uint32(3), uint32(8), uint32(1), []byte("abc\x00"), uint64(0))
	put(&note, uint32(len(name)), uint32(8), uint32(pvhType), []byte(name), uint64(0x1000000))
	var f bytes.Buffer
	put(&f, []byte("\x7fELF\x02\x01\x01"), make([]byte, 9))
	put(&f, uint16(2), uint16(62), uint32(1), uint64(0x1000000), uint64(64), uint64(0), uint32(0))
	put(&f, uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0))
	size := uint64(note.Len())
	put(&f, uint32(4), uint32(4), uint64(120), uint64(0), uint64(0), size, size, uint64(4))
	f.Write(note.Bytes())
	f.WriteString("Linux version %s Linux version 6.12.117-toy (runvm@runvm)")
	f.Write(make([]byte, 256))
	return f.Bytes()
}
