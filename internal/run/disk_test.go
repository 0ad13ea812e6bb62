package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/internal/recipe"
)

// image is a file with a hole before, between and behind its data.
func image(t *testing.T) (string, []byte) {
	t.Helper()
	want := make([]byte, 9<<20+100)
	copy(want[1<<20:], "first")
	copy(want[5<<20:], "second")
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("first"), 1<<20)
	_, again := f.WriteAt([]byte("second"), 5<<20)
	if err := errors.Join(err, again, f.Truncate(int64(len(want)))); err != nil {
		t.Fatal(err)
	}
	return name, want
}

func TestDiskIsACopyWithItsHoles(t *testing.T) {
	t.Parallel()
	name, want := image(t)
	to := filepath.Join(t.TempDir(), "disk")
	sum, err := (Disk{Image: name}).write(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || sum != recipe.Sum(want) {
		t.Errorf("the copy differs, or its digest %s does", sum)
	}
	var st unix.Stat_t
	if err := unix.Stat(to, &st); err != nil {
		t.Fatal(err)
	}
	if most := int64(1 << 20); st.Blocks*512 > most {
		t.Errorf("the copy takes %d bytes, want at most %d: its holes are filled", st.Blocks*512, most)
	}
	if st.Mode&0o077 != 0 {
		t.Errorf("the copy has mode %o: an image may be a secret", st.Mode)
	}
	other := Disk{Image: name, SHA256: recipe.Sum([]byte("another"))}
	if _, err := other.write(t.Context(), to); err == nil || !strings.HasSuffix(err.Error(), "has changed since it was first read") {
		t.Errorf("another image than before: %v", err)
	}
}

func TestDiskCopyStops(t *testing.T) {
	t.Parallel()
	name, _ := image(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupt")
	cancel(why)
	if _, err := (Disk{Image: name}).write(ctx, filepath.Join(t.TempDir(), "disk")); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

// An image that shrinks while it is copied is not made longer by zeroes.
func TestDiskCopyNoticesACut(t *testing.T) {
	t.Parallel()
	name, want := image(t)
	from, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if err := from.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := copyRange(t.Context(), to, from, 0, int64(len(want))); !errors.Is(err, errCut) {
		t.Errorf("got %v, want %v", err, errCut)
	}
}

func TestEmptyDisk(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "disk")
	if _, err := (Disk{MiB: 3}).write(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Size() != 3<<20 {
		t.Errorf("%v, %v, want 3 MiB", info, err)
	}
}

func TestDiskCanBeMadeByHand(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Disk{
		"truncate -s 3M 'a disk'":                   {MiB: 3},
		"cp --sparse=always '/some image' 'a disk'": {Image: "/some image"},
	} {
		if got := d.command("a disk"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestBadDisksAreOneLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for want, d := range map[string]Disk{
		"want 1 to 1048576 MiB": {MiB: -1},
		"-disk 1048577":         {MiB: MaxDiskMiB + 1},
		"no such image":         {Image: filepath.Join(dir, "none")},
		"not a regular file":    {Image: dir},
		"0 bytes":               {Image: file("empty", "")},
		"is qcow2":              {Image: file("q", "QFI\xfb\x00\x00\x00\x03")},
		"gunzip":                {Image: file("gz", "\x1f\x8b\x08")},
	} {
		err := d.check()
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want one line with %q", d, err, want)
		}
	}
	for _, d := range []Disk{{}, {MiB: 1}, {Image: file("short", "x")}} {
		if err := d.check(); err != nil {
			t.Errorf("%+v: %v", d, err)
		}
	}
}
