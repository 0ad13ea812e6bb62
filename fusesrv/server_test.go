package fusesrv

import (
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
)

const (
	opLookup = 1
	opOpen   = 14
)

// message makes a request as the kernel would.
func message(opcode uint32, unique, node uint64, body []byte) []byte {
	b := make([]byte, requestHeaderSize, requestHeaderSize+len(body))
	binary.NativeEndian.PutUint32(b[0:], uint32(requestHeaderSize+len(body)))
	binary.NativeEndian.PutUint32(b[4:], opcode)
	binary.NativeEndian.PutUint64(b[8:], unique)
	binary.NativeEndian.PutUint64(b[16:], node)
	return append(b, body...)
}

// readMessage makes a READ.
func readMessage(unique, node uint64, off int64, size uint32) []byte {
	body := make([]byte, readSize-requestHeaderSize)
	binary.NativeEndian.PutUint64(body[8:], uint64(off))
	binary.NativeEndian.PutUint32(body[16:], size)
	return message(opRead, unique, node, body)
}

// A kernel is the test's end of a device: a socket that keeps messages apart.
type kernel struct {
	t   *testing.T
	fd  int
	srv *Server
}

// newKernel lets one worker of a server of tree run, after INIT.
func newKernel(t *testing.T, tree Tree, o Options) *kernel {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer("a socket", fds[1], tree, &o)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorker(s, fds[1])
	if err != nil {
		t.Fatal(err)
	}
	s.workers = []*worker{w}
	k := &kernel{t: t, fd: fds[0], srv: s}
	body := make([]byte, 64)
	binary.NativeEndian.PutUint32(body[0:], 7)
	binary.NativeEndian.PutUint32(body[4:], 39)
	k.send(message(opInit, 2, 0, body))
	if err := s.init(w, 1); err != nil {
		t.Fatal(err)
	}
	k.reply(2, 0)
	ended := make(chan struct{})
	go func() { defer close(ended); w.run(make(chan error, 1)) }()
	t.Cleanup(func() {
		unix.Close(k.fd)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the worker outlives its device")
		}
		w.close()
	})
	return k
}

// send gives the worker a request.
func (k *kernel) send(msg []byte) {
	k.t.Helper()
	if _, err := unix.Write(k.fd, msg); err != nil {
		k.t.Fatal(err)
	}
}

// reply takes the next reply, which must be to unique, and returns what it
// carries.
func (k *kernel) reply(unique uint64, want syscall.Errno) []byte {
	k.t.Helper()
	deadline := unix.NsecToTimeval(int64(10 * time.Second))
	if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &deadline); err != nil {
		k.t.Fatal(err)
	}
	b := make([]byte, 1<<20)
	n, err := unix.Read(k.fd, b)
	for err == unix.EINTR { // a time limit keeps the kernel from going on after a signal
		n, err = unix.Read(k.fd, b)
	}
	if err != nil || n < replyHeaderSize {
		k.t.Fatalf("reply of %d bytes, %v", n, err)
	}
	b = b[:n]
	if got := binary.NativeEndian.Uint32(b); int(got) != n {
		k.t.Errorf("reply says %d bytes, has %d", got, n)
	}
	if got := binary.NativeEndian.Uint64(b[8:]); got != unique {
		k.t.Errorf("reply is to %d, want %d", got, unique)
	}
	if got := syscall.Errno(-int32(binary.NativeEndian.Uint32(b[4:]))); got != want {
		k.t.Errorf("reply says %v, want %v", got, want)
	}
	return b[replyHeaderSize:]
}

// lookup finds name and opens it.
func (k *kernel) open(name string) uint64 {
	k.t.Helper()
	k.send(message(opLookup, 4, 1, append([]byte(name), 0)))
	entry := k.reply(4, 0)
	if len(entry) < int(unsafe.Sizeof(fuse.EntryOut{})) {
		k.t.Fatalf("LOOKUP of %s: %d bytes", name, len(entry))
	}
	node := binary.NativeEndian.Uint64(entry)
	k.send(message(opOpen, 6, node, make([]byte, 8)))
	k.reply(6, 0)
	return node
}

func TestReadsAreAnsweredByThePath(t *testing.T) {
	t.Parallel()
	p := pattern.Pattern{Seed: 1, File: 1}
	const size = 10000
	k := newKernel(t, Generated(File{Name: "f", Size: size, Data: p}), Options{Path: "copy", MaxRead: 64 << 10})
	node := k.open("f")
	for i, r := range []struct {
		off  int64
		size uint32
		want int
	}{{0, 4096, 4096}, {4096, 64 << 10, size - 4096}, {size, 4096, 0}, {size - 1, 4096, 1}, {1 << 62, 4096, 0}} {
		unique := uint64(100 + 2*i)
		k.send(readMessage(unique, node, r.off, r.size))
		got := k.reply(unique, 0)
		if len(got) != r.want {
			t.Errorf("READ of %d at %d: %d bytes, want %d", r.size, r.off, len(got), r.want)
		}
		if err := p.Check(got, r.off); err != nil {
			t.Error(err)
		}
	}
	want := Stats{Requests: 8, Reads: 5, ReadBytes: size + 1, Copied: size + 1, Calls: 10}
	if got := k.srv.Stats(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestBadReadsAreRefused(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Generated(File{Name: "f", Size: 10, Data: pattern.Pattern{}}), Options{Path: "copy", MaxRead: 8192})
	node := k.open("f")
	for name, msg := range map[string][]byte{
		"larger than MaxRead": readMessage(8, node, 0, 8193),
		"negative offset":     readMessage(8, node, -1, 10),
		"cut":                 readMessage(8, node, 0, 10)[:readSize-1],
	} {
		t.Log(name)
		k.send(msg)
		if got := k.reply(8, unix.EINVAL); len(got) != 0 {
			t.Errorf("%s: an error with %d bytes", name, len(got))
		}
	}
	if got := k.srv.Stats(); got.Failed != 3 || got.ReadBytes != 0 {
		t.Errorf("counters %+v, want 3 failed READs", got)
	}
}

// failing is data that cannot be read.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestErrorsOfDataReachTheReader(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Generated(
		File{Name: "no", Size: 10, Data: failing{unix.EACCES}},
		File{Name: "why", Size: 10, Data: failing{errors.New("out of luck")}},
	), Options{Path: "copy"})
	for name, want := range map[string]syscall.Errno{"no": unix.EACCES, "why": unix.EIO} {
		k.send(readMessage(8, k.open(name), 0, 10))
		k.reply(8, want)
	}
}

func TestInterruptsHaveNoReply(t *testing.T) {
	t.Parallel()
	k := newKernel(t, Generated(File{Name: "f", Size: 10, Data: pattern.Pattern{}}), Options{Path: "copy"})
	node := k.open("f")
	body := make([]byte, interruptSize-requestHeaderSize)
	binary.NativeEndian.PutUint64(body, 12345) // a request that nobody has
	k.send(message(opInterrupt, 12346, 0, body))
	k.send(message(opInterrupt, 12346, 0, nil))
	k.send(readMessage(8, node, 0, 10))
	k.reply(8, 0)
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	good := File{Name: "f", Size: 1, Data: pattern.Pattern{}}
	for _, c := range []struct {
		tree Tree
		o    Options
		want string
	}{
		{Generated(good), Options{Path: "teleport"}, `read path "teleport": unknown (known: copy`},
		{Generated(good), Options{Path: ""}, `read path "": unknown`},
		{Generated(good), Options{Path: "splice"}, "read path splice: needs descriptors, and this tree has memory behind it"},
		{Generated(good), Options{Path: "splice-move"}, "read path splice-move: needs descriptors"},
		{Generated(good), Options{Path: "copy", MaxRead: 4097}, "largest read of 4097 bytes"},
		{Generated(good), Options{Path: "copy", MaxRead: 2 * MaxRead}, "largest read of 2097152 bytes"},
		{Generated(good), Options{Path: "copy", MaxRead: -4096}, "largest read of -4096 bytes"},
		{Generated(good), Options{Path: "copy", Workers: 1000}, "1000 workers: more than 64"},
		{Generated(good, good), Options{Path: "copy"}, `file "f": twice`},
		{Generated(File{Name: "a/b", Data: pattern.Pattern{}}), Options{Path: "copy"}, `file "a/b": not a name`},
		{Generated(File{Name: "..", Data: pattern.Pattern{}}), Options{Path: "copy"}, `file "..": not a name`},
		{Generated(File{Name: "f", Size: -1, Data: pattern.Pattern{}}), Options{Path: "copy"}, `file "f": size -1 below 0`},
		{Generated(File{Name: "f"}), Options{Path: "copy"}, `file "f": no data`},
		{Loopback(t.TempDir() + "/none"), Options{Path: "copy"}, "no such file or directory"},
	} {
		s, err := newServer("dir", -1, c.tree, &c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, %v; want an error with %q", c.o, s, err, c.want)
		}
	}
}

func TestPathThatLacksSomethingIsNamed(t *testing.T) {
	t.Parallel()
	s := &Server{path: splicePath(), maxRead: 1 << 31} // no pipe is that large
	if w, err := newWorker(s, -1); err == nil || !strings.Contains(err.Error(), "read path splice: pipe of") {
		t.Errorf("got %v, %v", w, err)
	}
}
