package rsplice

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// canary is what a reader's memory holds before it reads.
	canary = 0xc5
	// oddMargin is how much of it lies on either side of what is read, in
	// bytes; with alignedMargin direct I/O can write to it.
	oddMargin, alignedMargin = 100, 4096
	// patience bounds every wait for a reader.
	patience = 90 * time.Second
)

// readFile is the reader: it reads as job says, prints "count errno tail" when
// read(2) has returned, waits for the end of in, and then prints its memory,
// margins included, unless that was written to since read(2) returned. Tail is
// what tailOf says.
func readFile(job string, in io.Reader, out io.Writer) error {
	var off int64
	var size, margin, huge int
	var async bool
	var path string
	if _, err := fmt.Sscanf(job, "%d %d %d %d %t %s", &off, &size, &margin, &huge, &async, &path); err != nil {
		return fmt.Errorf("read job %q: %w", job, err)
	}
	mem, err := readerMemory(size+2*margin, huge)
	if err != nil {
		return fmt.Errorf("map memory to read to: %w", err)
	}
	for i := range mem {
		mem[i] = canary
	}
	read, flags := unix.Pread, 0
	if async {
		read, flags = uringPread, unix.O_DIRECT
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	n, err := read(fd, mem[margin:margin+size], off)
	returned := bytes.Clone(mem)
	var errno unix.Errno
	errors.As(err, &errno)
	if _, err := fmt.Fprintln(out, n, int(errno), tailOf(fd, off+int64(max(n, 0)))); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if !bytes.Equal(mem, returned) {
		return errors.New("memory was written to after read(2) had returned")
	}
	_, err = out.Write(mem)
	return err
}

// uringPread is pread(2) by io_uring(7): with O_DIRECT, the kernel has no task
// that waits for the end.
func uringPread(fd int, b []byte, off int64) (int, error) {
	ring, err := newUring()
	if err != nil {
		return -1, err
	}
	defer func() { _ = ring.close() }()
	n, err := ring.do(uringRead, fd, 0, unsafe.Pointer(&b[0]), len(b), off)
	if err != nil {
		return -1, err
	}
	return n, nil
}

// sharedFD is the descriptor of the memory that a reader shares with its test.
const sharedFD = 3

// readerMemory is memory of a reader's own, or that which it shares.
func readerMemory(size, huge int) ([]byte, error) {
	if huge > 0 {
		return hugeMemory(size, huge-1)
	}
	const prot = unix.PROT_READ | unix.PROT_WRITE
	var st unix.Stat_t
	if err := unix.Fstat(sharedFD, &st); err == nil && st.Size == int64(size) {
		return unix.Mmap(sharedFD, 0, size, prot, unix.MAP_SHARED)
	}
	return unix.Mmap(-1, 0, size, prot, unix.MAP_PRIVATE|unix.MAP_ANON)
}

// hugePage is the size of a huge page on machines whose pages have 4 KiB.
const hugePage = 2 << 20

// hugeMemory is memory in a transparent huge page, from byte at of it.
func hugeMemory(size, at int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	skip := -uintptr(unsafe.Pointer(&mem[0])) % hugePage
	mem = mem[skip : skip+hugePage]
	if err := unix.Madvise(mem, unix.MADV_HUGEPAGE); err != nil {
		return nil, err
	}
	mem[0] = 1
	var in [1]byte // a huge page is there at once
	last := uintptr(unsafe.Pointer(&mem[hugePage-1])) &^ uintptr(os.Getpagesize()-1)
	_, _, no := unix.Syscall(unix.SYS_MINCORE, last, uintptr(os.Getpagesize()), uintptr(unsafe.Pointer(&in)))
	if no != 0 || in[0]&1 == 0 {
		return nil, fmt.Errorf("no huge page: %w", no)
	}
	return mem[at : at+size], nil
}

// tailOf is how many bytes are not zero between the end of the file and the
// end of its last page: mmap(2) is the only way to see them. It is -1 if they
// cannot be mapped.
func tailOf(fd int, end int64) int {
	page := int64(os.Getpagesize())
	if end%page == 0 {
		return 0
	}
	mem, err := unix.Mmap(fd, end-end%page, int(page), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return -1
	}
	tail := 0
	for _, b := range mem[end%page:] {
		if b != 0 {
			tail++
		}
	}
	return tail
}

// A reader is a process that reads from the server's file.
type reader struct {
	margin int
	cmd    *exec.Cmd
	stdin  io.Closer
	out    *bufio.Reader
	off    int64
	size   int
	shared []byte // its memory, if the test shares that
	// returned yields what read(2) said.
	returned chan result
}

type result struct {
	n     int
	errno unix.Errno
	tail  int
	err   error
}

// read starts a reader of size bytes at off.
func (s *server) read(t *testing.T, off int64, size int) *reader {
	t.Helper()
	r := &reader{off: off, size: size, margin: s.margin, returned: make(chan result, 1)}
	r.cmd = as("read", fmt.Sprintf("%d %d %d %d %t %s", off, size, s.margin, s.huge, s.async, s.file()))
	if s.shareMemory {
		r.share(t)
	}
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin, r.out = stdin, bufio.NewReader(stdout)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.beforeUnmount = append(s.beforeUnmount, func() { _ = r.cmd.Process.Kill() })
	s.afterUnmount = append(s.afterUnmount, func() { _ = r.cmd.Wait() })
	go func() {
		var res result
		var errno int
		_, res.err = fmt.Fscanln(r.out, &res.n, &errno, &res.tail)
		res.errno = unix.Errno(errno)
		r.returned <- res
	}()
	return r
}

// share makes memory that both the reader and the test see.
func (r *reader) share(t *testing.T) {
	t.Helper()
	fd, err := unix.MemfdCreate("reader", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "reader")
	t.Cleanup(func() { f.Close() })
	size := r.size + 2*r.margin
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	if r.shared, err = unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(r.shared) })
	r.cmd.ExtraFiles = []*os.File{f}
}

// wait serves what the reader asks for until its read(2) has returned.
func (r *reader) wait(t *testing.T, s *server) result {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case res := <-r.returned:
			if res.err != nil {
				t.Fatalf("reader: %v", res.err)
			}
			return res
		default:
			s.serve(t)
		}
	}
	t.Fatal("reader: read(2) does not return")
	return result{}
}

// memory ends the reader and returns what it read to, margins included.
func (r *reader) memory(t *testing.T, s *server) []byte {
	t.Helper()
	r.stdin.Close()
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r.out)
		got <- b
	}()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case mem := <-got:
			if len(mem) != r.size+2*r.margin {
				t.Fatalf("reader: %d bytes of memory, want %d", len(mem), r.size+2*r.margin)
			}
			return mem
		default:
			s.serve(t)
		}
	}
	t.Fatal("reader: does not end")
	return nil
}

// gets checks that the reader gets n bytes of the file, and that nothing else
// of its memory was written to.
func (r *reader) gets(t *testing.T, s *server, n int) {
	t.Helper()
	r.got(t, s, r.wait(t, s), n)
}

// got is gets when read(2) has returned already.
func (r *reader) got(t *testing.T, s *server, res result, n int) {
	t.Helper()
	if res.n != n {
		t.Errorf("read: %d, %v; want %d bytes", res.n, res.errno, n)
		return
	}
	mem := r.memory(t, s)
	guest.Same(t, s.data, mem[r.margin:r.margin+n], r.off)
	r.untouched(t, mem[:r.margin])
	r.untouched(t, mem[r.margin+r.size:])
}

// fails checks that the reader gets an error, and that nothing was written to
// its memory till now.
func (r *reader) fails(t *testing.T, s *server, errnos ...unix.Errno) {
	t.Helper()
	res := r.wait(t, s)
	found := false
	for _, errno := range errnos {
		found = found || res.errno == errno
	}
	if res.n != -1 || !found {
		t.Errorf("read: %d, %v; want %v", res.n, res.errno, errnos)
	}
	r.untouched(t, r.memory(t, s))
}

func (r *reader) untouched(t *testing.T, mem []byte) {
	t.Helper()
	for i, b := range mem {
		if b != canary {
			t.Errorf("byte %d of the reader's memory is %#02x: written to behind its back", i, b)
			return
		}
	}
}
