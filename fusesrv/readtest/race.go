package readtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// raceTime is how long readers run against what changes their file, at least; a slow
// machine takes as long as it needs for raceLeast reads and changes.
const (
	raceTime  = 500 * time.Millisecond
	raceLeast = 5
	// racePatience is for those: 20 s were too little for a debug kernel on a host with
	// two CPUs and seven guests.
	racePatience = 10 * patience
)

// raceCases are about readers while the file or its cache change.
func raceCases() []Case {
	all := about(onFiles(), false, map[string]func(t *testing.T, c config){
		"TruncateRacesReads":   truncateRacesReads,
		"HolePunchRacesReads":  holePunchRacesReads,
		"DropCachesRacesReads": dropCachesRacesReads,
	})
	return append(all, about(onFiles(), true, map[string]func(t *testing.T, c config){
		"MemoryPressureRacesReads": memoryPressureRacesReads,
		"InvalidationRacesReads":   invalidationRacesReads,
		"StoreRacesReads":          storeRacesReads,
	})...)
}

// A race is readers beside something that changes what they read, or what of it
// is cached.
type race struct {
	*history
	m       *mount
	f       file
	shrinks bool // for a while the file may be shorter
	readers []*racer
}

// A racer is one of a race's readers.
type racer struct {
	io.ReaderAt
	reads, bytes atomic.Int64
}

// startRace mounts a file for several workers. Readers drop what is cached of it
// all the time, so that READs go on.
func startRace(t *testing.T, c config, size int64, holes bool) *race {
	c.Workers, c.MaxRead = 3, 64<<10
	r := &race{f: makeFile("f", 140, size)}
	r.history = newHistory(r.f, holes)
	r.m = start(t, c, r.f)
	return r
}

// run has readers of three kinds read while disturb is called over and over, and
// then looks at what is cached and at what is not.
func (r *race) run(t *testing.T, disturb func(rnd *rand.Rand)) {
	t.Helper()
	number := guest.Seed(t, "readtest.seed")
	before := r.m.stats().ReadBytes
	end := time.Now().Add(raceTime)
	var all sync.WaitGroup
	stop := make(chan struct{})
	cached, direct := r.m.open(r.f.Name), r.m.openFlags(r.f.Name, os.O_RDONLY|unix.O_DIRECT)
	past := &racer{ReaderAt: direct}
	r.readers = []*racer{past, {ReaderAt: cached}, {ReaderAt: cached}, {ReaderAt: mapping{cached, r.f.Size, r.shrinks}}}
	for i, reader := range r.readers {
		rnd := rand.New(rand.NewPCG(number, uint64(i)))
		all.Go(func() {
			for !closed(stop) && !t.Failed() {
				r.readOnce(t, reader, rnd)
				if rnd.IntN(8) == 0 { // seldom enough for old bytes to be seen
					guest.Evict(t, cached)
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(number, 99))
	disturbed := 0
	withinTime(t, racePatience, "race", func() {
		for ; !t.Failed() && (time.Now().Before(end) || min(r.fewest(), int64(disturbed)) < raceLeast); disturbed++ {
			disturb(rnd)
		}
		close(stop)
		all.Wait()
	})
	brought := r.m.stats().ReadBytes - before
	t.Logf("%d reads of each reader and more beside %d changes; READs brought %d bytes", r.fewest(), disturbed, brought)
	if brought <= uint64(past.bytes.Load()) && !r.m.config.inKernel {
		t.Error("the readers of the cache found all they read there")
	}
	h := r.m.open(r.f.Name)
	r.is(t, h)
	guest.Evict(t, h)
	r.is(t, h)
}

// fewest is how often the slowest reader has read.
func (r *race) fewest() int64 {
	least := int64(math.MaxInt64)
	for _, reader := range r.readers {
		least = min(least, reader.reads.Load())
	}
	return least
}

// is checks all of the file, which nobody changes any more. It is never in memory
// as a whole, of which there may be little.
func (r *race) is(t *testing.T, h *os.File) {
	t.Helper()
	b := make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := h.ReadAt(b, off)
		r.found(t, b[:min(int64(n), r.f.Size-off)], off, r.now(off, int64(n)))
		off += int64(n)
		if err == io.EOF && off == r.f.Size {
			return
		}
		if err != nil || off > r.f.Size {
			t.Errorf("the file has %d bytes afterwards, %v; want %d", off, err, r.f.Size)
			return
		}
	}
}

// closed tells whether c is.
func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A mapping reads from memory into which it maps a file each time: pages that
// stayed mapped would stay cached.
type mapping struct {
	*os.File
	size    int64
	shrinks bool // for a while the file may be shorter
}

// ReadAt ends where there is no page behind the mapping.
func (m mapping) ReadAt(b []byte, off int64) (n int, err error) {
	page := int64(guest.PageSize())
	first, end := off/page*page, min(off+int64(len(b)), m.size)
	mem, err := unix.Mmap(int(m.Fd()), first, int(end-first), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, os.NewSyscallError("mmap", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("munmap", unix.Munmap(mem))) }()
	for at := off - first; at < end-first; at = (at + page) / page * page {
		fault := copyOut(b[n:], mem[at/page*page:min((at+page)/page*page, end-first)], at%page)
		if fault != nil && m.shrinks {
			return n, io.EOF
		}
		if fault != nil {
			return n, fmt.Errorf("fault at byte %d: %w", first+at, fault)
		}
		n = int(min(first+(at+page)/page*page, end) - off)
	}
	return n, nil
}

// copyOut copies a page, but for its first bytes, that may not be there. A system call
// brings it: in a fault a goroutine would keep its processor until the server answers.
func copyOut(to, page []byte, first int64) error {
	if err := unix.Madvise(page, unix.MADV_POPULATE_READ); err != nil {
		return os.NewSyscallError("MADV_POPULATE_READ", err)
	}
	return faulting(func() { copy(to, page[first:]) })
}

// readOnce reads somewhere.
func (r *race) readOnce(t *testing.T, from *racer, rnd *rand.Rand) {
	off := rnd.Int64N(r.f.Size)
	b := make([]byte, 1+rnd.Int64N(100<<10))
	m := r.now(off, int64(len(b)))
	n, err := from.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("read of %d bytes at %d: %v", len(b), off, err)
	}
	r.found(t, b[:n], off, m)
	from.reads.Add(1)
	from.bytes.Add(int64(n))
}

// found fails the test, and lets it go on, unless got is what the file held
// between m and now.
func (r *race) found(t *testing.T, got []byte, off int64, m moment) {
	t.Helper()
	if err := r.check(got, off, m); err != nil {
		t.Error(err)
		clean(t, got, off)
	}
}

// write changes bytes through w.
func (r *race) write(t *testing.T, w io.WriterAt, b []byte, off int64) {
	t.Helper()
	if _, err := w.WriteAt(b, off); err != nil {
		t.Error(err)
	}
}

func truncateRacesReads(t *testing.T, c config) {
	r := startRace(t, c, 512<<10, true)
	r.shrinks = true
	w := r.m.openFlags(r.f.Name, os.O_RDWR)
	r.run(t, func(rnd *rand.Rand) {
		short, _ := r.somewhere(rnd, r.f.Size)
		b := r.change(short, r.f.Size)
		for _, size := range []int64{short, r.f.Size} {
			if err := w.Truncate(size); err != nil {
				t.Error(err)
			}
		}
		r.write(t, w, b, short)
		r.changed(short, r.f.Size)
	})
}

func holePunchRacesReads(t *testing.T, c config) {
	r := startRace(t, c, 512<<10, true)
	w := r.m.openFlags(r.f.Name, os.O_RDWR)
	r.run(t, func(rnd *rand.Rand) {
		from, to := r.somewhere(rnd, r.f.Size)
		b := r.change(from, to)
		if err := unix.Fallocate(int(w.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
			t.Errorf("punch a hole: %v", err)
		}
		r.write(t, w, b, from)
		r.changed(from, to)
	})
}

func dropCachesRacesReads(t *testing.T, c config) {
	r := startRace(t, c, mib, false)
	r.run(t, func(*rand.Rand) { guest.DropCaches(t) })
}

// invalidationRacesReads changes the file behind the back of the kernel, which is
// told afterwards: no READ that was answered before may be what is cached then.
func invalidationRacesReads(t *testing.T, c config) {
	r, behind := startStaleRace(t, c)
	r.run(t, func(rnd *rand.Rand) {
		from, to := r.somewhere(rnd, r.f.Size)
		r.write(t, behind, r.change(from, to), from)
		r.m.order(order{Invalidate: &span{File: r.f, Off: from, Size: to - from}})
		r.changed(from, to)
	})
}

// storeRacesReads does the same, and tells the kernel the new bytes.
func storeRacesReads(t *testing.T, c config) {
	r, behind := startStaleRace(t, c)
	r.run(t, func(rnd *rand.Rand) {
		from, to := r.somewhere(rnd, 60<<10)
		b := r.change(from, to)
		r.write(t, behind, b, from)
		r.m.order(order{Store: &stored{Name: r.f.Name, Off: from, Data: b}})
		r.changed(from, to)
	})
}

// startStaleRace starts a race about a file that is changed without the mount.
func startStaleRace(t *testing.T, c config) (*race, *os.File) {
	t.Helper()
	c.KeepCache = true
	r := startRace(t, c, mib, false)
	behind, err := os.OpenFile(filepath.Join(c.Loopback, r.f.Name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = behind.Close() })
	return r, behind
}

// memoryPressureRacesReads has another process take what memory is free, so
// that the kernel takes the file's pages away while they are read.
func memoryPressureRacesReads(t *testing.T, c config) {
	if testing.Short() {
		t.Skip("fills the memory of the guest")
	}
	r := startRace(t, c, 24<<20, false)
	h := r.m.open(r.f.Name)
	same(t, r.f.Of, readAll(t, h, mib), 0)
	// some of the file's pages, and not all: then the kernel would end a process
	defer startHog(t, pages(r.f.Size)/3)()
	if n := guest.ResidentPages(t, h); n == pages(r.f.Size) {
		t.Errorf("all %d pages of the file are still there: nothing has to be read again", n)
	}
	r.run(t, func(*rand.Rand) { time.Sleep(time.Millisecond) })
}

// startHog starts a process that uses memory until the kernel has taken so many
// pages away for it, and returns then. The function returned ends it.
func startHog(t *testing.T, pages int) func() {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s%d", Env, roleHog, pages))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // whose end is that of the process
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	progress := bufio.NewScanner(out)
	for progress.Scan() && progress.Text() != hogIsFull {
		t.Log(progress.Text()) // a debug kernel takes its time
	}
	if progress.Text() != hogIsFull {
		t.Errorf("process for which %d pages are taken: %v", pages, progress.Err())
	}
	return func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
	}
}
