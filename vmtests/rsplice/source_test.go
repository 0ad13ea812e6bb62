package rsplice

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// images are file systems with blocks of 4 KiB and one file, "data": the first
// imageSize bytes of the server's pattern. The rest of its last block holds 0x55
// (mkfs.ext4 -d and mkfs.xfs -p, then written to the image).
//
//go:embed testdata/*.img.gz
var images embed.FS

const imageSize = 2*4096 + 100

// mountImage returns the folder where a file system of images is mounted.
func mountImage(t *testing.T, fsType string) string {
	t.Helper()
	packed, err := images.ReadFile("testdata/" + fsType + ".img.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	image, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := attachLoop(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.IoctlSetInt(disk, unix.LOOP_CLR_FD, 0)
		unix.Close(disk)
	})
	device, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", disk))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount(device, dir, fsType, unix.MS_RDONLY, ""); err == unix.ENODEV {
		t.Skipf("kernel has no %s", fsType)
	} else if err != nil {
		t.Fatalf("mount %s: %v", device, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// What direct I/O has written behind the end of the source is not seen: neither
// as data nor, by mmap(2), behind the end of the file.
func TestTailOfDirectIOIsNotSeen(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) { tailOfDirectIO(t, fsType) })
	}
}

func tailOfDirectIO(t *testing.T, fsType string) {
	each(t, func(t *testing.T, s *server) {
		dir := mountImage(t, fsType)
		s.margin = alignedMargin
		for _, flags := range []int{0, unix.O_DIRECT} {
			source := open(t, filepath.Join(dir, "data"), unix.O_RDONLY|flags)
			s.size = imageSize
			r := s.read(t, 0, 4*guest.PageSize())
			req := s.next(t)
			var off int64
			n, err := rsplice.Direct(s.device, req.unique, source, &off, req.size)
			moves(t, "claim and fill", n, err, imageSize)
			fails(t, "reply with the tail", rsplice.Reply(s.device, req.unique, imageSize+1), unix.EINVAL)
			if err := rsplice.Reply(s.device, req.unique, imageSize); err != nil {
				t.Fatalf("reply: %v", err)
			}
			res := r.wait(t, s)
			if res.n != imageSize || res.tail != 0 {
				t.Errorf("read: %d, %v, and %d bytes behind the end are not zero; want %d and none",
					res.n, res.errno, res.tail, imageSize)
			}
			mem := r.memory(t, s)
			guest.Same(t, s.data, mem[r.margin:r.margin+imageSize], 0)
			r.untouched(t, mem[r.margin+r.size:])
		}
	})
}

// newTCP is a connection with itself.
func newTCP(t *testing.T) (near, far int) {
	t.Helper()
	upLoopback(t)
	socket := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	listener, near := socket(), socket()
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(near, addr); err != nil {
		t.Fatal(err)
	}
	far, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(far) })
	return near, far
}

func upLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	req.flags = unix.IFF_UP | unix.IFF_RUNNING
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req))); no != 0 {
		t.Fatalf("loopback: %v", no)
	}
}
