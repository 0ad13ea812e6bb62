package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/internal/recipe"
	"github.com/runvm/runvm/internal/sh"
)

// A Disk is the guest's virtio disk, /dev/vda; the zero Disk is none.
type Disk struct {
	// MiB is the size of an empty one, 0 to MaxDiskMiB.
	MiB int
	// Image is a raw image, or another file that the guest is to see as a disk. It
	// gets a copy of its own, gone afterwards. SHA256 is its digest in hex; "" is
	// any.
	Image, SHA256 string
}

// MaxDiskMiB bounds disks.
const MaxDiskMiB = 1 << 20

// command makes the file name by hand.
func (d Disk) command(name string) string {
	if d.Image != "" {
		return sh.Quote("cp", "--sparse=always", d.Image, name)
	}
	return sh.Quote("truncate", "-s", fmt.Sprintf("%dM", d.MiB), name)
}

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
		if d.MiB < 0 || d.MiB > MaxDiskMiB {
			return usagef("-disk %d: want 1 to %d MiB", d.MiB, MaxDiskMiB)
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
	case info.Size() == 0 || info.Size() > MaxDiskMiB<<20:
		return usagef("-disk %s: %d bytes: want 1 to %d MiB", d.Image, info.Size(), MaxDiskMiB)
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

// write makes the file name what the guest sees; sum is the digest of an image.
func (d Disk) write(ctx context.Context, name string) (sum string, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	if d.Image == "" {
		return "", errors.Join(f.Truncate(int64(d.MiB)<<20), f.Close())
	}
	if err := errors.Join(d.copyTo(ctx, f), f.Close()); err != nil {
		return "", fmt.Errorf("copy %s: %w", d.Image, err)
	}
	// This also brings a copy that shares its blocks into the page cache.
	sum, err = recipe.SumFile(ctx, name)
	if err == nil && d.SHA256 != "" && sum != d.SHA256 {
		err = fmt.Errorf("%s has changed since it was first read", d.Image)
	}
	return sum, err
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
	size := min(info.Size(), MaxDiskMiB<<20) // it may have grown
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
	if info, err = from.Stat(); err == nil && info.Size() < size {
		err = errCut
	}
	return errors.Join(err, to.Truncate(size))
}

// errCut is an image that became shorter.
var errCut = errors.New("it was cut short meanwhile")

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
		if errors.Is(err, io.EOF) {
			err = errCut
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}
