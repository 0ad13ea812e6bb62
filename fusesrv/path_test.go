package fusesrv

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/rsplice"
)

func TestPathThatTheKernelLacksIsNamed(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]uint64{
		"rsplice-pipe":   rsplice.InitFlag,
		"rsplice-fill":   rsplice.InitFlag,
		"rsplice-direct": rsplice.InitFlag,
		"passthrough":    fuse.CAP_PASSTHROUGH,
		"io_uring":       overRing,
		"io_uring-zc":    hasPools,
	} {
		p, err := findPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.offered(^uint64(0)); err != nil {
			t.Errorf("all is offered: %v", err)
		}
		if err := p.offered(^missing); err == nil || !strings.Contains(err.Error(), "read path "+name) {
			t.Errorf("INIT without %#x: %v", missing, err)
		}
	}
	if rsplice.Supported() {
		return
	}
	for _, p := range []Path{rsplicePipePath(), rspliceFillPath(), rspliceDirectPath()} {
		_, err := newWorker(&Server{path: p, maxRead: 4096}, -1)
		if err == nil || !strings.Contains(err.Error(), "read path "+p.Name+": rsplice(2): function not implemented") {
			t.Errorf("kernel without rsplice(2): %v", err)
		}
	}
}

func TestOnlyItsPathNegotiatesPassthrough(t *testing.T) {
	t.Parallel()
	offer := make([]byte, 64)
	binary.NativeEndian.PutUint32(offer[0:], 7)
	binary.NativeEndian.PutUint32(offer[4:], 40)
	binary.NativeEndian.PutUint32(offer[12:], ^uint32(0))
	binary.NativeEndian.PutUint32(offer[16:], ^uint32(0))
	for _, p := range Paths() {
		s, err := newServer("dir", -1, Loopback(t.TempDir()), &Options{Path: p.Name})
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 256)
		n, _ := s.proto.HandleRequest([][]byte{message(opInit, 2, 0, offer)}, [][]byte{out})
		if n < replyHeaderSize+36 {
			t.Fatalf("path %s: INIT reply of %d bytes", p.Name, n)
		}
		flags := uint64(binary.NativeEndian.Uint32(out[replyHeaderSize+32:])) << 32
		for _, c := range []struct {
			flag uint64
			want bool
		}{
			{fuse.CAP_PASSTHROUGH, p.InKernel},
			{rsplice.InitFlag, strings.HasPrefix(p.Name, "rsplice")},
			{overRing, strings.HasPrefix(p.Name, "io_uring")},
		} {
			if got := flags&c.flag != 0; got != c.want {
				t.Errorf("path %s: capability %#x negotiated: %v, want %v", p.Name, c.flag, got, c.want)
			}
		}
	}
}

func TestTruncatedInitOffersNothing(t *testing.T) {
	t.Parallel()
	if got := (request{msg: make([]byte, initSize-1)}).offers(); got != 0 {
		t.Errorf("offers %#x", got)
	}
}

// sockets returns a Stream of p.
func sockets(p pattern.Pattern) Stream {
	return func(off int64, size int) (int, func(), error) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, nil, err
		}
		w := os.NewFile(uintptr(fds[1]), "socket")
		go func() {
			_, _ = io.Copy(w, io.NewSectionReader(p, off, int64(size)))
			_ = w.Close()
		}()
		return fds[0], func() { unix.Close(fds[0]) }, nil
	}
}

func TestDescriptorsAreRead(t *testing.T) {
	t.Parallel()
	p := pattern.Pattern{Seed: 3, File: 3}
	const size = 100_001
	b := make([]byte, size+5000) // more than the tree shows
	_, _ = p.ReadAt(b, 0)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	k := newKernel(t, Generated(
		File{Name: "from", Size: size, From: from},
		File{Name: "stream", Size: size, Stream: sockets(p)},
	), Options{Path: "copy", MaxRead: 128 << 10})
	for _, name := range []string{"from", "stream"} {
		node := k.open(name)
		for i, r := range []struct {
			off        int64
			size, want int
		}{{0, 128 << 10, size}, {4097, 10, 10}, {size - 1, 4096, 1}, {size, 4096, 0}, {size + 10, 4096, 0}} {
			unique := uint64(100 + 2*i)
			k.send(readMessage(unique, node, r.off, uint32(r.size)))
			got := k.reply(unique, 0)
			if len(got) != r.want {
				t.Errorf("%s: READ of %d at %d: %d bytes, want %d", name, r.size, r.off, len(got), r.want)
			}
			if err := p.Check(got, r.off); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestHooksSeeAnAnswer(t *testing.T) {
	t.Parallel()
	var steps []Step
	var replies []Reply
	var refusal error
	k := newKernel(t, Generated(File{Name: "f", Size: 100, Data: pattern.Pattern{}}), Options{Path: "copy", Hooks: Hooks{
		OnStep: func(s Step) { steps = append(steps, s) },
		OnReply: func(r Reply) {
			replies = append(replies, r)
			refusal = r.Send(r.Unique+1000, 10)
		},
	}})
	node := k.open("f")
	k.send(readMessage(8, node, 0, 4096))
	if got := k.reply(1008, 0); len(got) != 10 {
		t.Errorf("the hook's reply has %d bytes", len(got))
	}
	if got := k.reply(8, 0); len(got) != 100 {
		t.Errorf("the real reply has %d bytes", len(got))
	}
	if len(steps) != 1 || steps[0] != StepFilled || refusal != nil {
		t.Errorf("steps %v, %v", steps, refusal)
	}
	if len(replies) != 1 || replies[0].Size != 100 || replies[0].Asked != 4096 {
		t.Errorf("replies %+v", replies)
	}
}

// A direct read takes whole blocks around what was asked for.
func TestDirectReadsAreAligned(t *testing.T) {
	t.Parallel()
	p := pattern.Pattern{Seed: 4, File: 4}
	const size = 3*directUnit + 5
	b := make([]byte, size)
	_, _ = p.ReadAt(b, 0)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	c := newCopier(2 * directUnit)
	for _, x := range []struct {
		off        int64
		size, want int
	}{{0, 2 * directUnit, 2 * directUnit}, {1, 2 * directUnit, 2 * directUnit}, {4095, 2, 2}, {size - 3, 100, 3}, {size, 10, 0}, {size + 100, 10, 0}} {
		r := &read{fd: int(f.Fd()), direct: true, off: x.off, size: x.size, count: &counters{}}
		got, err := c.fetch(r)
		if err != nil || len(got) != x.want {
			t.Errorf("%d bytes at %d: %d, %v; want %d", x.size, x.off, len(got), err, x.want)
		}
		if err := p.Check(got, x.off); err != nil {
			t.Error(err)
		}
	}
}
