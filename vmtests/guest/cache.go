package guest

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
)

// PageSize is the kernel's, in bytes.
func PageSize() int { return os.Getpagesize() }

// Resident tells for each page of f, as long as f is, whether it is in the
// page cache and up to date (mincore(2)). It reads nothing.
func Resident(t testing.TB, f *os.File) []bool {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 {
		return nil
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("map %s: %v", f.Name(), err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	vec := make([]byte, (len(mem)+PageSize()-1)/PageSize())
	_, _, no := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&vec[0])))
	if no != 0 {
		t.Fatalf("mincore of %s: %v", f.Name(), no)
	}
	pages := make([]bool, len(vec))
	for i, v := range vec {
		pages[i] = v&1 != 0
	}
	return pages
}

// ResidentPages is how many pages of f Resident finds.
func ResidentPages(t testing.TB, f *os.File) int {
	t.Helper()
	n := 0
	for _, in := range Resident(t, f) {
		if in {
			n++
		}
	}
	return n
}

// CacheStat is what cachestat(2) says, in pages (struct cachestat).
type CacheStat struct {
	Cache, Dirty, Writeback, Evicted, RecentlyEvicted uint64
}

// Cachestat asks cachestat(2) about length bytes of f from off on; length 0
// means to the end. Pages that are not up to date yet count as well. The
// kernel has the call since 6.5: see Since.
func Cachestat(f *os.File, off, length int64) (CacheStat, error) {
	area := [2]uint64{uint64(off), uint64(length)}
	var st CacheStat
	_, _, no := unix.Syscall6(unix.SYS_CACHESTAT, f.Fd(), uintptr(unsafe.Pointer(&area)), uintptr(unsafe.Pointer(&st)), 0, 0, 0)
	if no != 0 {
		return CacheStat{}, fmt.Errorf("cachestat %s: %w", f.Name(), no)
	}
	return st, nil
}

// DropCaches drops every clean page of every page cache that nobody uses.
func DropCaches(t testing.TB) {
	t.Helper()
	Sysctl(t, "vm/drop_caches", "1")
}

// Evict drops the clean pages of f alone.
func Evict(t testing.TB, f *os.File) {
	t.Helper()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatalf("evict %s: %v", f.Name(), err)
	}
}

// Same fails the test, and lets it go on, unless got is what belongs at off.
func Same(t testing.TB, p pattern.Pattern, got []byte, off int64) {
	t.Helper()
	if err := p.Check(got, off); err != nil {
		t.Error(err)
	}
}

// Zero fails the test, and lets it go on, unless got holds zeroes alone; off
// is where it was read.
func Zero(t testing.TB, got []byte, off int64) {
	t.Helper()
	for i, b := range got {
		if b != 0 {
			t.Errorf("byte %d is %#02x, want 0", off+int64(i), b)
			return
		}
	}
}

// Poison fills size bytes of memory with word, over and over, and frees them,
// so that pages which the kernel hands out next are known not to be zero. It
// needs a kernel that does not clear what it hands out (init_on_alloc=0).
func Poison(t testing.TB, word string, size int) {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatalf("memory to poison: %v", err)
	}
	for done := copy(mem, word); done < len(mem); {
		done += copy(mem[done:], mem[:done])
	}
	if err := unix.Munmap(mem); err != nil {
		t.Fatalf("free poisoned memory: %v", err)
	}
}
