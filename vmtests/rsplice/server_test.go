package rsplice

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// Numbers of the FUSE protocol, as in the kernel's include/uapi/linux/fuse.h.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatfs      = 17
	opRelease     = 18
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opBatchForget = 42

	notifyResend = 7

	initAsyncRead = 1 << 0  // FUSE_ASYNC_READ
	initAsyncDIO  = 1 << 15 // FUSE_ASYNC_DIO
	initWriteback = 1 << 16 // FUSE_WRITEBACK_CACHE
	initExt       = 1 << 30
	directIO      = 1 << 0  // FOPEN_DIRECT_IO
	keepCache     = 1 << 1  // FOPEN_KEEP_CACHE
	noFlush       = 1 << 5  // FOPEN_NOFLUSH
	uniqueResend  = 1 << 63 // FUSE_UNIQUE_RESEND
	inHeader      = 40
	outHeader     = 16
	attrSize      = 88
	rootID        = 1
	fileID        = 2
	maxRead       = 1 << 17
	cloneDevice   = 0x8004e500
	firstWait     = 60 * time.Second
	idleWait      = 5 * time.Millisecond
	pagesOfFile   = 16
)

// A server is one mount with one file, "data", that the test serves itself.
type server struct {
	device    int
	dir       string
	size      int64 // of the file, in bytes
	mode      uint32
	data      pattern.Pattern
	openFlags uint32
	initFlags uint64
	source    *os.File // a file of tmpfs with the same contents
	pipe      [2]int
	// shareMemory lets the test look at the memory of its readers.
	shareMemory bool
	async       bool // its readers do not wait in read(2)
	margin      int  // around what its readers read to, in bytes
	// huge puts the memory of its readers into a huge page, from byte huge-1
	// of it; 0 does not.
	huge   int
	buf    []byte
	copied int // READs that serve has answered
	// other sees each request that is not a READ before it is answered.
	other func(opcode uint32, unique uint64)

	beforeUnmount, afterUnmount []func()
}

// A request is a READ.
type request struct {
	unique uint64
	off    int64
	size   int
}

// mount makes a server that offers rsplice(2).
func mount(t *testing.T, openFlags uint32) *server {
	return mountWith(t, openFlags, rsplice.InitFlag)
}

func mountWith(t *testing.T, openFlags uint32, initFlags uint64) *server {
	t.Helper()
	return mountSize(t, openFlags, initFlags, pagesOfFile)
}

// mountSize makes a server whose file has a number of pages. The mount has more
// options if there are any.
func mountSize(t *testing.T, openFlags uint32, initFlags uint64, pages int, more ...string) *server {
	t.Helper()
	s := newServer(t, openFlags, initFlags, pages)
	s.mount(t, "fuse", "rsplice", more...)
	return s
}

// mountBlocks makes a server of a file system on a block device, whose blocks
// are smaller than a page.
func mountBlocks(t *testing.T, initFlags uint64, blockSize int) *server {
	t.Helper()
	s := newServer(t, keepCache, initFlags, pagesOfFile)
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mount(t, "fuseblk", guest.LoopDevice(t, image), fmt.Sprintf("blksize=%d", blockSize))
	return s
}

func newServer(t *testing.T, openFlags uint32, initFlags uint64, pages int) *server {
	t.Helper()
	s := &server{
		size:      int64(pages * guest.PageSize()),
		data:      servedData(),
		mode:      0o644,
		margin:    oddMargin,
		openFlags: openFlags,
		initFlags: initFlags,
		dir:       t.TempDir(),
		buf:       make([]byte, maxRead+8192),
		pipe:      newPipe(t),
	}
	s.source = s.newSource(t)
	var err error
	if s.device, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatalf("open /dev/fuse: %v", err)
	}
	return s
}

func (s *server) mount(t *testing.T, fsType, device string, more ...string) {
	t.Helper()
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", s.device, unix.S_IFDIR)
	options = strings.Join(append([]string{options}, more...), ",")
	if err := unix.Mount(device, s.dir, fsType, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(s.end)
	if _, _, err := s.handle(firstWait); err != nil {
		t.Fatalf("init: %v", err)
	}
}

// end unmounts, by force: a reader that a failed test has left behind must go.
func (s *server) end() {
	for _, f := range s.beforeUnmount {
		f()
	}
	_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
	unix.Close(s.device)
	for _, f := range s.afterUnmount {
		f()
	}
}

// servedData is what is in the file of each server, for as long as it is.
func servedData() pattern.Pattern { return pattern.Pattern{Seed: 7, File: fileID} }

func (s *server) file() string { return filepath.Join(s.dir, "data") }

func (s *server) newSource(t *testing.T) *os.File {
	t.Helper()
	b := make([]byte, s.size)
	_, _ = s.data.ReadAt(b, 0)
	f, err := os.Create(filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// next waits for the next READ.
func (s *server) next(t *testing.T) request {
	t.Helper()
	for {
		req, is, err := s.handle(firstWait)
		if err != nil {
			t.Fatalf("next READ: %v", err)
		}
		if is {
			return req
		}
	}
}

// serve answers what is there, and what comes until nothing has come for a
// moment; READs with their data, by copying. A mount that has ended is no error.
func (s *server) serve(t *testing.T) {
	t.Helper()
	for {
		req, is, err := s.handle(idleWait)
		switch {
		case errors.Is(err, unix.ETIMEDOUT):
			return
		case errors.Is(err, unix.ENODEV):
			time.Sleep(idleWait)
			return
		case err != nil:
			t.Fatalf("serve: %v", err)
		case is:
			s.copied++
			if err := s.replyData(req, s.sizeAt(req)); err != nil {
				t.Fatalf("reply: %v", err)
			}
		}
	}
}

// sizeAt is how many bytes the file has for a READ.
func (s *server) sizeAt(req request) int {
	return int(max(0, min(int64(req.size), s.size-req.off)))
}

// handle takes one request from the device and answers it, unless it is a READ.
func (s *server) handle(wait time.Duration) (req request, isRead bool, err error) {
	poll := []unix.PollFd{{Fd: int32(s.device), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, int(wait.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return request{}, false, nil
	}
	if err != nil || n == 0 {
		return request{}, false, errors.Join(err, unix.ETIMEDOUT)
	}
	n, err = unix.Read(s.device, s.buf)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAGAIN) {
		return request{}, false, nil
	}
	if err != nil {
		return request{}, false, err
	}
	if n < inHeader {
		return request{}, false, unix.ENODEV // not the device any more
	}
	return s.dispatch(s.buf[:n])
}

func (s *server) dispatch(m []byte) (request, bool, error) {
	ne := binary.NativeEndian
	opcode, unique, node := ne.Uint32(m[4:]), ne.Uint64(m[8:]), ne.Uint64(m[16:])
	body := m[inHeader:]
	if s.other != nil && opcode != opRead {
		s.other(opcode, unique)
	}
	var err error
	switch opcode {
	case opRead:
		return request{unique, int64(ne.Uint64(body[8:])), int(ne.Uint32(body[16:]))}, true, nil
	case opInit:
		err = s.reply(unique, 0, s.init(body))
	case opLookup:
		err = s.reply(unique, 0, s.entry())
	case opGetattr:
		err = s.reply(unique, 0, append(make([]byte, 16), s.attr(node)...))
	case opOpen:
		err = s.reply(unique, 0, append(ne.AppendUint32(make([]byte, 8), s.openFlags), 0, 0, 0, 0))
	case opStatfs:
		err = s.reply(unique, 0, make([]byte, 80))
	case opRelease, opFlush:
		err = s.reply(unique, 0, nil)
	case opForget, opBatchForget, opInterrupt:
	default:
		err = s.reply(unique, unix.ENOSYS, nil)
	}
	if errors.Is(err, unix.ENOENT) {
		err = nil // its process has gone
	}
	return request{}, false, err
}

// init makes a struct fuse_init_out.
func (s *server) init(in []byte) []byte {
	ne := binary.NativeEndian
	offered := uint64(ne.Uint32(in[12:])) | uint64(ne.Uint32(in[16:]))<<32
	flags := (s.initFlags | initExt) & offered
	out := make([]byte, 64)
	ne.PutUint32(out[0:], 7)
	ne.PutUint32(out[4:], 36)
	ne.PutUint32(out[8:], ne.Uint32(in[8:])) // max_readahead
	ne.PutUint32(out[12:], uint32(flags))
	ne.PutUint32(out[20:], maxRead) // max_write
	ne.PutUint32(out[32:], uint32(flags>>32))
	return out
}

// entry makes a struct fuse_entry_out.
func (s *server) entry() []byte {
	out := make([]byte, 40, 40+attrSize)
	binary.NativeEndian.PutUint64(out, fileID)
	return append(out, s.attr(fileID)...)
}

// attr makes a struct fuse_attr.
func (s *server) attr(node uint64) []byte {
	ne := binary.NativeEndian
	out := make([]byte, attrSize)
	ne.PutUint64(out[0:], node)
	mode := uint32(unix.S_IFDIR | 0o755)
	if node != rootID {
		mode = unix.S_IFREG | s.mode
		ne.PutUint64(out[8:], uint64(s.size))
	}
	ne.PutUint32(out[60:], mode)
	ne.PutUint32(out[64:], 1) // nlink
	return out
}

// reply writes an ordinary reply.
func (s *server) reply(unique uint64, errno unix.Errno, data []byte) error {
	ne := binary.NativeEndian
	m := make([]byte, outHeader, outHeader+len(data))
	ne.PutUint32(m[0:], uint32(outHeader+len(data)))
	ne.PutUint32(m[4:], uint32(-int32(errno)))
	ne.PutUint64(m[8:], unique)
	_, err := unix.Write(s.device, append(m, data...))
	return err
}

// replyData answers a READ with n bytes of the file's data.
func (s *server) replyData(req request, n int) error {
	b := make([]byte, n)
	_, _ = s.data.ReadAt(b, req.off)
	return s.reply(req.unique, 0, b)
}

// resend makes the kernel send all requests that are not answered again.
func (s *server) resend() error {
	m := make([]byte, outHeader)
	binary.NativeEndian.PutUint32(m[0:], outHeader)
	binary.NativeEndian.PutUint32(m[4:], notifyResend)
	_, err := unix.Write(s.device, m)
	return err
}

func newPipe(t *testing.T) [2]int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p
}
