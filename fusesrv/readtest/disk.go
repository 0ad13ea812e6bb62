package readtest

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// emptyExt4 is a file system of diskSize bytes without a file, compressed
// twice: most of it is zeroes. It was made by
//
//	truncate -s 64M image
//	E2FSPROGS_FAKE_TIME=1561500000 mkfs.ext4 -b 4096 -m 0 -N 64 \
//		-O ^has_journal,^resize_inode,^metadata_csum,^64bit \
//		-U 20190626-0000-4000-8000-000000000000 \
//		-E lazy_itable_init=0,nodiscard,hash_seed=20190626-0000-4000-8000-000000000000 image
//	gzip -9n <image | gzip -9n >ext4.img.gz.gz
//
//go:embed ext4.img.gz.gz
var emptyExt4 []byte

const diskSize = 64 << 20

// A Disk is a mounted ext4 file system.
type Disk struct {
	Dir string // where it is mounted
}

// name makes names of files that differ by size.
func (*Disk) name(size int64) string { return strconv.FormatInt(size, 10) }

// Ext4 mounts an empty file system of 64 MiB until the test ends. It is on a
// loop device, whose blocks are in tmpfs: what a disk would transfer, a thread
// of the kernel copies.
func Ext4(t testing.TB) *Disk {
	t.Helper()
	return Ext4In(t, filepath.Join(t.TempDir(), "disk"))
}

// Ext4In is Ext4 with its blocks in the new file image.
func Ext4In(t testing.TB, image string) *Disk {
	t.Helper()
	if err := unpackDisk(image); err != nil {
		t.Fatalf("make a disk: %v", err)
	}
	return mountExt4(t, guest.LoopDevice(t, image))
}

// Ext4On is Ext4 on the block device name, of 64 MiB and more, whose contents
// are lost.
func Ext4On(t testing.TB, name string) *Disk {
	t.Helper()
	if err := unpackDisk(name); err != nil {
		t.Fatalf("make a file system on %s: %v", name, err)
	}
	return mountExt4(t, name)
}

// MountExt4 mounts the file system on the block device name, which is written
// nothing to, until the test ends. An error means that there is none.
func MountExt4(t testing.TB, name string) (*Disk, error) {
	t.Helper()
	d := &Disk{Dir: t.TempDir()}
	return d, d.mount(t, name, unix.MS_RDONLY)
}

func mountExt4(t testing.TB, device string) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir()}
	if err := d.mount(t, device, 0); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Disk) mount(t testing.TB, device string, flags uintptr) error {
	t.Helper()
	if err := unix.Mount(device, d.Dir, "ext4", unix.MS_NOATIME|flags, ""); err != nil {
		return fmt.Errorf("mount ext4 of %s: %w", device, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.Dir, 0); err != nil {
			t.Errorf("unmount ext4: %v", err)
			_ = unix.Unmount(d.Dir, unix.MNT_DETACH)
		}
	})
	return nil
}

// unpackDisk writes emptyExt4 to a device, or to a new file with holes for its
// zeroes.
func unpackDisk(name string) error {
	outer, err := gzip.NewReader(bytes.NewReader(emptyExt4))
	if err != nil {
		return err
	}
	inner, err := gzip.NewReader(outer)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	device := !info.Mode().IsRegular()
	block, zeroes := make([]byte, 4096), make([]byte, 4096)
	for off := int64(0); off < diskSize; off += int64(len(block)) {
		if _, err := io.ReadFull(inner, block); err != nil {
			return errors.Join(err, f.Close())
		}
		if !device && bytes.Equal(block, zeroes) {
			continue
		}
		if _, err := f.WriteAt(block, off); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if device {
		return errors.Join(f.Sync(), f.Close())
	}
	return errors.Join(f.Truncate(diskSize), f.Close())
}
