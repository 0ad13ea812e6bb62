package rsplice

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// Sizes of the header of a packet: what tun is told to put in front of it, and
// what it has to say there, a struct virtio_net_hdr of include/uapi/linux/virtio_net.h.
const (
	tunHeader = 4000
	netHeader = 10
)

const tunDevice = "/dev/net/tun"

// newTun makes a network device whose descriptor yields a packet: tunHeader
// bytes, and behind these what was sent.
func newTun(t *testing.T) int {
	t.Helper()
	if _, err := os.Stat(tunDevice); errors.Is(err, fs.ErrNotExist) {
		t.Skip("kernel has no CONFIG_TUN")
	}
	fd := open(t, tunDevice, unix.O_RDWR|unix.O_NONBLOCK)
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(socket) })
	device, err := unix.NewIfreq("skips")
	if err != nil {
		t.Fatal(err)
	}
	configure := func(what string, fd int, request uint) {
		if err := unix.IoctlIfreq(fd, request, device); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	device.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	configure("make a network device", fd, unix.TUNSETIFF)
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, tunHeader); err != nil {
		t.Fatalf("set the size of its header: %v", err)
	}
	own, peer := [4]byte{192, 168, 77, 1}, [4]byte{192, 168, 77, 2}
	_ = device.SetInet4Addr(own[:]) // fails for other lengths alone
	configure("give it an address", socket, unix.SIOCSIFADDR)
	_ = device.SetInet4Addr(peer[:])
	configure("give it a peer", socket, unix.SIOCSIFDSTADDR)
	device.SetUint16(unix.IFF_UP)
	configure("switch it on", socket, unix.SIOCSIFFLAGS)
	to := &unix.SockaddrInet4{Port: 9, Addr: peer}
	if err := unix.Sendto(socket, make([]byte, 100), 0, to); err != nil {
		t.Fatalf("send a packet: %v", err)
	}
	return fd
}

// A skipper is a source that counts bytes, [from, to) of what it yields, without
// writing them.
type skipper struct {
	open     func(t *testing.T) int
	from, to int
}

// skippers are the sources known to have done so: Linux 6.12's tun skips what it has
// nothing to say in, and AF_ALG of 7.3 what nobody below it has written.
func skippers() map[string]skipper {
	return map[string]skipper{
		"tun":    {newTun, netHeader, tunHeader},
		"AF_ALG": {newAlg, algAssoc, algAssoc + algIV},
	}
}

// alone is what the source yields there by read(2); what it does not write is 0.
func (k skipper) alone(t *testing.T) (yields []byte) {
	t.Run("alone", func(t *testing.T) { // which closes the source
		fd := k.open(t)
		b := make([]byte, 2*guest.PageSize())
		n, err := unix.Read(fd, b)
		if err != nil || n <= k.to {
			t.Fatalf("read: %d, %v", n, err)
		}
		yields = b[k.from:k.to]
	})
	return yields
}

// A source may count bytes that it has not written. What was in the memory before is
// not to be seen there, neither in a buffer that is the first one to be filled, nor
// behind one that has been filled in part. (Where a kernel's source writes it all, and
// 7.3's tun does, its bytes are.)
func TestSourceThatCountsWhatItSkips(t *testing.T) {
	need(t)
	for name, k := range skippers() {
		t.Run(name, func(t *testing.T) {
			want := k.alone(t)
			t.Run("first buffer", func(t *testing.T) { k.fills(t, 0, want) })
			t.Run("second buffer", func(t *testing.T) { k.fills(t, guest.PageSize(), want) })
		})
	}
}

// fills has a READ filled from the source, from byte first on, and looks for want
// where the source skips bytes, or has skipped them.
func (k skipper) fills(t *testing.T, first int, want []byte) {
	page := guest.PageSize()
	s, source, zero := mount(t, 0), k.open(t), open(t, "/dev/zero", unix.O_RDONLY)
	guest.Poison(t, "poison", 16<<20)
	r := s.read(t, 0, 2*page)
	req := s.next(t)
	front, back := newPipe(t), newPipe(t)
	if first > 0 {
		n, err := rsplice.Claim(s.device, req.unique, front[1], first, 0)
		moves(t, "claim the front", n, err, first)
		n, err = rsplice.Fill(front[0], zero, nil, 10, 0)
		moves(t, "fill a part of the front", n, err, 10)
	}
	n, err := rsplice.Claim(s.device, req.unique, back[1], req.size, 0)
	moves(t, "claim", n, err, req.size-first)
	filled, err := rsplice.Fill(back[0], source, nil, req.size, 0)
	if filled <= k.to || err != nil {
		t.Fatalf("fill: %d, %v", filled, err)
	}
	if first > 0 {
		n, err := rsplice.Fill(front[0], zero, nil, first-10, 0)
		moves(t, "fill the rest of the front", n, err, first-10)
	}
	if err := rsplice.Reply(s.device, req.unique, first+filled); err != nil {
		t.Fatal(err)
	}
	if res := r.wait(t, s); res.n != min(first+filled, 2*page) || res.tail != 0 {
		t.Errorf("read: %d, %v, and %d bytes behind the end", res.n, res.errno, res.tail)
	}
	mem := r.memory(t, s)[r.margin:]
	got := mem[first+k.from : min(first+k.to, 2*page)]
	if !bytes.HasPrefix(want, got) {
		t.Errorf("where the source skips bytes the reader has %q, want %q", got, want[:len(got)])
	}
}

// Memory that is zeroed before it is filled loses nothing that has been filled, in
// whatever order and pieces.
func TestPiecesFromAnUnsettledSource(t *testing.T) {
	need(t)
	for name, order := range map[string][]int{"forwards": {0, 1}, "backwards": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			s := mount(t, 0)
			source := unsettled(t, s.source.Name())
			r := s.read(t, 0, 2*guest.PageSize())
			req := s.next(t)
			half := req.size / 2
			pipes := [][2]int{newPipe(t), newPipe(t)}
			for _, p := range pipes {
				n, err := rsplice.Claim(s.device, req.unique, p[1], half, rsplice.Nonblock)
				moves(t, "claim", n, err, half)
			}
			for _, i := range order {
				for off := int64(i * half); off < int64((i+1)*half); {
					want := min(700, (i+1)*half-int(off))
					n, err := rsplice.Fill(pipes[i][0], source, &off, want, 0)
					if n != want || err != nil {
						t.Fatalf("fill: %d, %v; want %d", n, err, want)
					}
				}
			}
			if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
				t.Fatal(err)
			}
			r.gets(t, s, 2*guest.PageSize())
		})
	}
}

// unsettled opens a file by way of a file system whose reads are not known to be
// done when they say so.
func unsettled(t *testing.T, name string) int {
	t.Helper()
	dir, empty := t.TempDir(), t.TempDir()
	options := "lowerdir=" + empty + ":" + filepath.Dir(name)
	if err := unix.Mount("overlay", dir, "overlay", 0, options); err != nil {
		t.Fatalf("mount overlay: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return open(t, filepath.Join(dir, filepath.Base(name)), unix.O_RDONLY)
}
