package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func bzImage(release string) []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint16(b[bootFlag:], 0xaa55)
	copy(b[bootMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[bootRelease:], 0x400)
	copy(b[0x600:], release+" (builder@host) #1 SMP\x00")
	return b
}

func TestReady(t *testing.T) {
	t.Parallel()
	var b Builder
	for name, c := range map[string]struct {
		content []byte
		pvh, bz bool
	}{
		"vmlinux with PVH":    {elfFile(true), true, false},
		"vmlinux without PVH": {elfFile(false), false, false},
		"bzImage":             {bzImage("6.12.117-toy"), false, true},
	} {
		path := writeFile(t, c.content)
		image, err := b.Ready(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if image.PVH != c.pvh || (image.BzImage == path) != c.bz || (image.Vmlinux == path) == c.bz ||
			image.Release != "6.12.117-toy" || len(image.Short()) != shortKey {
			t.Errorf("%s: %+v", name, image)
		}
	}
}

func TestReadyRefuses(t *testing.T) {
	t.Parallel()
	var b Builder
	other := elfFile(true)
	other[18] = 183 // arm64
	for name, path := range map[string]string{
		"text":             writeFile(t, []byte("vmlinux")),
		"empty":            writeFile(t, nil),
		"another machine":  writeFile(t, other),
		"cut after header": writeFile(t, elfFile(true)[:70]),
	} {
		if _, err := b.Ready(path); !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Ready("/no/such/vmlinux"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := b.Ready(t.TempDir()); err == nil {
		t.Error("a folder was taken for an image")
	}
}

func TestBannerInPieces(t *testing.T) {
	t.Parallel()
	var b banner
	for _, c := range bytes.Repeat([]byte("x"), 1000) {
		_, _ = b.Write([]byte{c})
	}
	for _, c := range elfFile(true) {
		_, _ = b.Write([]byte{c})
	}
	if b.release != "6.12.117-toy" {
		t.Errorf("release %q", b.release)
	}
}

func FuzzReady(f *testing.F) {
	f.Add(elfFile(true))
	f.Add(bzImage("6.12.117"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r := bytes.NewReader(content)
		if release, ok := readBzImage(r); ok && len(release) > maxRelease {
			t.Errorf("release of %d bytes", len(release))
		}
		_, _ = readELF(r)
	})
}
