package readbench

import (
	"bytes"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An access is a way to read a file.
type access struct {
	name     string
	flags    int  // to open it with
	random   bool // in another order than the file's
	mapped   bool // by a mapping
	uncached bool // nothing is left in a cache
}

func accesses() []access {
	return []access{
		{name: "seq"},
		{name: "random", random: true},
		{name: "mmap", mapped: true},
		{name: "direct", flags: unix.O_DIRECT, uncached: true},
	}
}

// piece is what a reader asks for at once, in bytes, where the size of READs
// does not follow from it.
const piece = 128 << 10

// A reader reads a whole file.
type reader struct {
	access
	data  []byte // what is in it
	at    []int  // where it reads
	buf   []byte
	every func() // called now and then while it reads; may be nil
}

func newReader(b *testing.B, a access, data []byte, read int) *reader {
	b.Helper()
	m, err := memory()
	if err != nil {
		b.Fatalf("a reader's memory: %v", err)
	}
	size := piece
	if a.random || a.uncached {
		size = read
	}
	r := &reader{access: a, data: data, buf: m[:min(size, len(data))]}
	for off := 0; off < len(data); off += len(r.buf) {
		r.at = append(r.at, off)
	}
	if a.random {
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(r.at), func(i, j int) { r.at[i], r.at[j] = r.at[j], r.at[i] })
	}
	return r
}

// hugePage is how large a huge page is, in bytes, and no READ is larger.
const hugePage = 2 << 20

// memory is what all readers read to: a huge page where there is one, or it would
// be chance in how many pieces it is, which is what direct I/O costs by.
var memory = sync.OnceValues(func() ([]byte, error) {
	room, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	m := room[-uintptr(unsafe.Pointer(&room[0]))%hugePage:][:hugePage]
	if err := unix.Madvise(m, unix.MADV_HUGEPAGE); err != nil {
		return nil, err
	}
	return m, unix.Madvise(m, unix.MADV_POPULATE_WRITE)
})

// tick calls every some sixteen times in n steps.
func (r *reader) tick(i, n int) {
	if r.every != nil && (i+1)%max(n/16, 1) == 0 {
		r.every()
	}
}

// read reads f once.
func (r *reader) read(b *testing.B, f *os.File) {
	b.Helper()
	if r.mapped {
		r.touch(b, f)
		return
	}
	for i, off := range r.at {
		r.pread(b, f.Fd(), off)
		r.tick(i, len(r.at))
	}
	runtime.KeepAlive(f)
}

// check reads f and compares it with what it has to be.
func (r *reader) check(b *testing.B, f *os.File) {
	b.Helper()
	if r.mapped {
		mem := r.mmap(b, f)
		defer r.unmap(b, mem)
		if !bytes.Equal(mem, r.data) {
			b.Fatal("wrong bytes in the mapping")
		}
		return
	}
	for _, off := range r.at {
		r.pread(b, f.Fd(), off)
		if !bytes.Equal(r.buf, r.data[off:off+len(r.buf)]) {
			b.Fatalf("wrong bytes at %d", off)
		}
	}
	runtime.KeepAlive(f)
}

// pread fills the buffer. The Go runtime is not told of the call: where
// instructions are time, its monitor would wake up all the time to see whether
// one of them takes long.
func (r *reader) pread(b *testing.B, fd uintptr, off int) {
	for done := 0; done < len(r.buf); {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, fd, uintptr(unsafe.Pointer(&r.buf[done])), uintptr(len(r.buf)-done), uintptr(off+done), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			b.Fatalf("read at %d: %d bytes, %v", off+done, n, errno)
		}
		done += int(n)
	}
}

// touch reads a byte of each page of a new mapping.
func (r *reader) touch(b *testing.B, f *os.File) {
	b.Helper()
	mem := r.mmap(b, f)
	defer r.unmap(b, mem)
	page := os.Getpagesize()
	for off := 0; off < len(mem); off += page {
		if mem[off] != r.data[off] {
			b.Fatalf("wrong byte at %d", off)
		}
		r.tick(off/page, len(mem)/page)
	}
}

func (r *reader) mmap(b *testing.B, f *os.File) []byte {
	b.Helper()
	mem, err := unix.Mmap(int(f.Fd()), 0, len(r.data), unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		err = unix.Madvise(mem, unix.MADV_SEQUENTIAL)
	}
	if err != nil {
		b.Fatal(err)
	}
	return mem
}

func (r *reader) unmap(b *testing.B, mem []byte) {
	b.Helper()
	if err := unix.Munmap(mem); err != nil {
		b.Fatal(err)
	}
}
