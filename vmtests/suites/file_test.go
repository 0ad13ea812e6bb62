package suites

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A file is one that random operations are made on, beside what it must hold.
type file struct {
	t      *testing.T
	rng    *rand.Rand
	name   string
	fd     int    // to read and write
	direct int    // to read with O_DIRECT
	want   []byte // its contents
	done   []string
	calls  []operation
}

// An operation does something to bytes [off, off+n) of the file, and to want.
type operation struct {
	name string
	do   func(f *file, off, n int) error
}

func operations() []operation {
	return []operation{
		{"read", (*file).read},
		{"read", (*file).read},
		{"direct read", (*file).readDirect},
		{"mapped read", (*file).readMapped},
		{"spliced read", (*file).readSpliced},
		{"sent read", (*file).readSent},
		{"write", (*file).write},
		{"write", (*file).write},
		{"mapped write", (*file).writeMapped},
		{"truncate", (*file).truncate},
		{"punch hole", (*file).punch},
		{"allocate", (*file).allocate},
		{"copy range", (*file).copyRange},
		{"sync", (*file).sync},
		{"evict", (*file).evict},
		{"open again", (*file).reopen},
	}
}

func newFile(t *testing.T, name string, rng *rand.Rand) *file {
	t.Helper()
	f := &file{t: t, rng: rng, name: name, fd: -1, direct: -1, calls: operations()}
	if err := f.open(unix.O_CREAT); err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	return f
}

// step makes one operation.
func (f *file) step() {
	op := f.calls[f.rng.IntN(len(f.calls))]
	off := f.rng.IntN(fsxSize)
	if f.rng.IntN(2) == 0 && len(f.want) > 0 {
		off = f.rng.IntN(len(f.want))
	}
	n := 1 + f.rng.IntN(fsxSize-off)
	if f.rng.IntN(3) > 0 {
		n = 1 + f.rng.IntN(min(n, 10_000))
	}
	f.done = append(f.done, fmt.Sprintf("%s %d+%d", op.name, off, n))
	if err := op.do(f, off, n); err != nil {
		f.t.Errorf("%s of %d bytes at %d, of %d: %v", op.name, n, off, len(f.want), err)
	}
}

// history is the last operations.
func (f *file) history() string {
	return strings.Join(f.done[max(0, len(f.done)-40):], ", ")
}

func (f *file) open(flags int) (err error) {
	if f.fd, err = unix.Open(f.name, unix.O_RDWR|unix.O_CLOEXEC|flags, 0o644); err != nil {
		return err
	}
	f.direct, err = unix.Open(f.name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	return err
}

func (f *file) close() {
	unix.Close(f.fd)
	unix.Close(f.direct)
}

func (f *file) reopen(_, _ int) error {
	f.close()
	return f.open(0)
}

// is compares what was read at off with what should be there.
func (f *file) is(got []byte, off, n int) error {
	want := f.want[min(off, len(f.want)):min(off+n, len(f.want))]
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if bytes.Equal(got, want) {
		return nil
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	return fmt.Errorf("byte %d is %#02x, want %#02x", off+i, got[i], want[i])
}

// readAll reads until n bytes or the end of the file.
func readAll(b []byte, read func(b []byte, done int) (int, error)) ([]byte, error) {
	done := 0
	for done < len(b) {
		n, err := read(b[done:], done)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return b[:done], err
		}
		done += n
	}
	return b, nil
}

func (f *file) readFrom(fd, off, n int) error {
	got, err := readAll(make([]byte, n), func(b []byte, done int) (int, error) {
		return unix.Pread(fd, b, int64(off+done))
	})
	if err != nil {
		return err
	}
	return f.is(got, off, n)
}

func (f *file) read(off, n int) error       { return f.readFrom(f.fd, off, n) }
func (f *file) readDirect(off, n int) error { return f.readFrom(f.direct, off, n) }

// readSpliced reads through a pipe.
func (f *file) readSpliced(off, n int) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	got, err := readAll(make([]byte, n), func(b []byte, done int) (int, error) {
		at := int64(off + done)
		m, err := unix.Splice(f.fd, &at, p[1], nil, len(b), 0)
		if err != nil || m == 0 {
			return 0, err
		}
		part, err := readAll(b[:m], func(b []byte, _ int) (int, error) { return unix.Read(p[0], b) })
		return len(part), err
	})
	if err != nil {
		return err
	}
	return f.is(got, off, n)
}

// readSent reads by sendfile(2) to another file.
func (f *file) readSent(off, n int) error {
	to, err := unix.MemfdCreate("sent", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	at := int64(off)
	for done := 0; done < n; {
		m, err := unix.Sendfile(to, f.fd, &at, n-done)
		if err != nil {
			return err
		}
		if m == 0 {
			break
		}
		done += m
	}
	got, err := readAll(make([]byte, n), func(b []byte, done int) (int, error) { return unix.Pread(to, b, int64(done)) })
	if err != nil {
		return err
	}
	return f.is(got, off, n)
}

// mapped maps the pages around [off, off+n), as much as there is of them.
func (f *file) mapped(off, n, prot int, use func(b []byte) error) error {
	n = min(n, len(f.want)-off)
	if n <= 0 {
		return nil
	}
	first := off &^ (unix.Getpagesize() - 1)
	mem, err := unix.Mmap(f.fd, int64(first), off-first+n, prot, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(mem) }()
	return use(mem[off-first:])
}

func (f *file) readMapped(off, n int) error {
	return f.mapped(off, n, unix.PROT_READ, func(b []byte) error { return f.is(b, off, len(b)) })
}

func (f *file) writeMapped(off, n int) error {
	return f.mapped(off, n, unix.PROT_READ|unix.PROT_WRITE, func(b []byte) error {
		copy(b, f.put(off, len(b)))
		first := uintptr(unsafe.Pointer(&b[0])) &^ uintptr(unix.Getpagesize()-1)
		size := uintptr(unsafe.Pointer(&b[0])) + uintptr(len(b)) - first
		if _, _, errno := unix.Syscall(unix.SYS_MSYNC, first, size, unix.MS_SYNC); errno != 0 {
			return errno
		}
		return nil
	})
}

// put makes [off, off+n) something new, and returns that.
func (f *file) put(off, n int) []byte {
	f.grow(off + n)
	b := f.want[off : off+n]
	for rest := b; len(rest) > 0; {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], f.rng.Uint64())
		rest = rest[copy(rest, word[:]):]
	}
	return b
}

// grow makes the file at least size bytes long.
func (f *file) grow(size int) {
	if size > len(f.want) {
		f.want = append(f.want, make([]byte, size-len(f.want))...)
	}
}

func (f *file) write(off, n int) error {
	b := f.put(off, n)
	_, err := readAll(b, func(b []byte, done int) (int, error) { return unix.Pwrite(f.fd, b, int64(off+done)) })
	return err
}

func (f *file) truncate(off, _ int) error {
	if f.rng.IntN(2) == 0 {
		off = len(f.want) * f.rng.IntN(100) / 100
	}
	f.grow(off)
	f.want = f.want[:off:off]
	return unix.Ftruncate(f.fd, int64(off))
}

func (f *file) punch(off, n int) error {
	if off < len(f.want) {
		clear(f.want[off:min(off+n, len(f.want))])
	}
	return unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
}

func (f *file) allocate(off, n int) error {
	f.grow(off + n)
	return unix.Fallocate(f.fd, 0, int64(off), int64(n))
}

// copyRange copies [off, off+n) to the front, as far as they do not overlap.
func (f *file) copyRange(off, n int) error {
	n = min(n, off, len(f.want)-off)
	if n <= 0 {
		return nil
	}
	copy(f.want, f.want[off:off+n])
	for done := 0; done < n; {
		from, to := int64(off+done), int64(done)
		m, err := unix.CopyFileRange(f.fd, &from, f.fd, &to, n-done, 0)
		if err != nil || m == 0 {
			return fmt.Errorf("%d of %d bytes: %w", done, n, err)
		}
		done += m
	}
	return nil
}

func (f *file) sync(_, _ int) error { return unix.Fsync(f.fd) }

// evict lets the kernel forget pages that are clean.
func (f *file) evict(off, n int) error {
	return unix.Fadvise(f.fd, int64(off), int64(n), unix.FADV_DONTNEED)
}
