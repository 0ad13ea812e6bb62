package readtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	m     *mount
	f     file
	reads atomic.Int64
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

// run has readers read while disturb is called over and over, and then looks at
// what is cached and at what is not.
func (r *race) run(t *testing.T, disturb func(rnd *rand.Rand)) {
	t.Helper()
	number := guest.Seed(t, "readtest.seed")
	before := r.m.stats().Reads
	end := time.Now().Add(raceTime)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range uint64(3) {
		h := r.m.open(r.f.Name)
		rnd := rand.New(rand.NewPCG(number, i))
		all.Go(func() { r.readUntil(t, stop, h, rnd) })
	}
	rnd := rand.New(rand.NewPCG(number, 99))
	disturbed := 0
	within(t, "race", func() {
		for ; !t.Failed() && (time.Now().Before(end) || min(r.reads.Load(), int64(disturbed)) < raceLeast); disturbed++ {
			disturb(rnd)
		}
		close(stop)
		all.Wait()
	})
	asked := r.m.stats().Reads - before
	t.Logf("%d reads made %d READs beside %d changes", r.reads.Load(), asked, disturbed)
	if asked == 0 && !r.m.config.inKernel {
		t.Error("the readers found all they read in the cache")
	}
	h := r.m.open(r.f.Name)
	r.is(t, h)
	guest.Evict(t, h)
	r.is(t, h)
}

// is checks all of the file, which nobody changes any more.
func (r *race) is(t *testing.T, h *os.File) {
	t.Helper()
	got := readAll(t, h, mib)
	if int64(len(got)) != r.f.Size {
		t.Errorf("the file has %d bytes afterwards, want %d", len(got), r.f.Size)
	}
	r.found(t, got, 0, r.now(0, r.f.Size))
}

// readUntil reads until it is told to stop, or the test has failed.
func (r *race) readUntil(t *testing.T, stop chan struct{}, h *os.File, rnd *rand.Rand) {
	for !t.Failed() {
		select {
		case <-stop:
			return
		default:
			r.readOnce(t, h, rnd)
		}
	}
}

// readOnce reads somewhere.
func (r *race) readOnce(t *testing.T, h *os.File, rnd *rand.Rand) {
	off := rnd.Int64N(r.f.Size)
	b := make([]byte, 1+rnd.Int64N(100<<10))
	m := r.now(off, int64(len(b)))
	n, err := h.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("read of %d bytes at %d: %v", len(b), off, err)
	}
	r.found(t, b[:n], off, m)
	r.reads.Add(1)
	if rnd.IntN(8) == 0 { // seldom enough for old bytes to be seen
		guest.Evict(t, h)
	}
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
