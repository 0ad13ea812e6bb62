package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A Disk is the guest's virtio disk, /dev/vda; the zero Disk is none.
type Disk struct {
	// MiB is the size of an empty one, 0 to maxDiskMiB.
	MiB int
	// Image is a raw image, or another file that the guest is to see as a disk. It
	// gets a copy of its own, gone afterwards.
	Image string
}

// maxDiskMiB bounds disks.
const maxDiskMiB = 1 << 20

// foreign are first bytes of files that people have and QEMU would take for a
// disk's own.
var foreign = []struct{ magic, advice string }{
	{"QFI\xfb", "is qcow2: make it raw with qemu-img convert"},
	{"\x1f\x8b", "is compressed: unpack it with gunzip"},
	{"\xfd7zXZ\x00", "is compressed: unpack it with unxz"},
	{"\x28\xb5\x2f\xfd", "is compressed: unpack it with unzstd"},
	{"BZh", "is compressed: unpack it with bunzip2"},
}

func (d Disk) there() bool { return d != Disk{} }

func (d Disk) String() string {
	if d.Image != "" {
		return "a copy of " + d.Image
	}
	return fmt.Sprintf("%d MiB", d.MiB)
}

func (d Disk) check() error {
	if d.Image == "" {
		if d.MiB < 0 || d.MiB > maxDiskMiB {
			return usagef("-disk %d: want 1 to %d MiB", d.MiB, maxDiskMiB)
		}
		return nil
	}
	info, err := os.Stat(d.Image)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return usagef("-disk %s: no such image: want a size in MiB, or a file", d.Image)
	case err != nil:
		return usagef("-disk: %w", err)
	case !info.Mode().IsRegular():
		return usagef("-disk %s: not a regular file", d.Image)
	case info.Size() == 0 || info.Size() > maxDiskMiB<<20:
		return usagef("-disk %s: %d bytes: want 1 to %d MiB", d.Image, info.Size(), maxDiskMiB)
	}
	f, err := os.Open(d.Image)
	if err != nil {
		return usagef("-disk: %w", err)
	}
	defer f.Close()
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return usagef("-disk: %w", err)
	}
	for _, other := range foreign {
		if bytes.HasPrefix(head[:n], []byte(other.magic)) {
			return usagef("-disk %s: %s", d.Image, other.advice)
		}
	}
	return nil
}

// write makes the file name what the guest sees.
func (d Disk) write(ctx context.Context, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if d.Image == "" {
		err = f.Truncate(int64(d.MiB) << 20)
	} else {
		err = d.copyTo(ctx, f)
	}
	return errors.Join(err, f.Close())
}

// chunk is how much is copied between two looks at the context.
const chunk = 64 << 20

// copyTo copies the image; its holes stay holes, and where the file system can
// the rest shares its blocks.
func (d Disk) copyTo(ctx context.Context, to *os.File) error {
	from, err := os.Open(d.Image)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	size := min(info.Size(), maxDiskMiB<<20) // it may have grown
	for at := int64(0); at < size; {
		if at, err = from.Seek(at, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return err
		}
		end, err := from.Seek(at, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if end, err = copyRange(ctx, to, from, at, min(end, size)); err != nil {
			return err
		}
		at = end
	}
	return to.Truncate(size)
}

// copyRange copies the bytes from at to end and returns how far it got; a file
// that has been cut short meanwhile is an error.
func copyRange(ctx context.Context, to, from *os.File, at, end int64) (int64, error) {
	if _, err := from.Seek(at, io.SeekStart); err != nil {
		return at, err
	}
	if _, err := to.Seek(at, io.SeekStart); err != nil {
		return at, err
	}
	for at < end {
		if ctx.Err() != nil {
			return at, context.Cause(ctx)
		}
		n, err := io.CopyN(to, from, min(chunk, end-at))
		at += n
		if err != nil {
			return at, err
		}
	}
	return at, nil
}
