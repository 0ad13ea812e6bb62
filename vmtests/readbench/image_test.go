package readbench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	disk = "/dev/vda"
	// share is the directory of the host that TestImage leaves its image in, if
	// there is one.
	share     = "/image"
	imageName = "readbench.img"
)

// fileSize is how large the file is that is read by READs of so many bytes:
// the more of those, the smaller.
func fileSize(read int) int {
	switch {
	case read <= 4<<10:
		return 1 << 20
	case read <= 64<<10:
		return 4 << 20
	}
	return 16 << 20
}

// sizes are those of READs, in KiB.
var sizes = []int{4, 16, 64, 256, 1024}

// TestImage makes the image of the disk that BenchmarkRead needs: a guest that
// only reads from it need not wait for the host's writes.
func TestImage(t *testing.T) {
	guest.Need(t)
	image := filepath.Join(t.TempDir(), imageName)
	data := contents()
	t.Run("write", func(t *testing.T) { makeFiles(t, readtest.Ext4In(t, image).Dir, data) })
	t.Run("read", func(t *testing.T) {
		mounted, err := readtest.MountExt4(t, guest.LoopDevice(t, image))
		if err != nil {
			t.Fatal(err)
		}
		dir := mounted.Dir
		for _, kib := range sizes {
			got, err := os.ReadFile(fileOf(dir, kib))
			if err != nil || !bytes.Equal(got, data[:fileSize(kib<<10)]) {
				t.Errorf("%s: not what was written (%v)", fileOf(dir, kib), err)
			}
		}
	})
	if _, err := os.Stat(share); err == nil && !t.Failed() {
		if err := copyFile(filepath.Join(share, imageName), image); err != nil {
			t.Error(err)
		}
	}
}

// copyFile replaces the file to as a whole.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	half := to + ".half"
	defer func() { _ = os.Remove(half) }() // unless it has its name
	out, err := os.Create(half)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(half, to)
}

// contents are those of the largest file; the others are as its start.
func contents() []byte {
	data := make([]byte, fileSize(fusesrv.MaxRead))
	_, _ = pattern.Pattern{Seed: 1}.ReadAt(data, 0) // never fails
	return data
}

// fileOf is the file in dir that is read by READs of kib KiB.
func fileOf(dir string, kib int) string { return filepath.Join(dir, fmt.Sprint(kib), "f") }

// makeFiles writes the files into dir.
func makeFiles(t testing.TB, dir string, data []byte) {
	t.Helper()
	for _, kib := range sizes {
		name := fileOf(dir, kib)
		if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data[:fileSize(kib<<10)], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// folders returns what tells where a file lies.
func folders(b *testing.B, data []byte) func(b *testing.B, backing string, kib int) string {
	b.Helper()
	memory := b.TempDir()
	makeFiles(b, memory, data)
	dirs := map[string]string{tmpfs: memory}
	if mounted, err := readtest.MountExt4(b, disk); err == nil {
		dirs[ext4], dirs[odirect] = mounted.Dir, mounted.Dir
	}
	return func(b *testing.B, backing string, kib int) string {
		name := fileOf(dirs[backing], kib)
		if _, err := os.Stat(name); err != nil {
			b.Fatalf("no file to read on %s: give the guest the disk that TestImage makes: runvm bench -disk %s", disk, imageName)
		}
		return filepath.Dir(name)
	}
}
