package readtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/vmtests/guest"
)

// raceTime is how long readers run against what changes their file.
const raceTime = 500 * time.Millisecond

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

// A race is readers beside something that changes what they read.
type race struct {
	m     *mount
	f     file
	check func(t *testing.T, p pattern.Pattern, got []byte, off int64)
	reads atomic.Int64
}

// startRace mounts a file for several workers and drops what is cached all the
// time, so that READs go on.
func startRace(t *testing.T, c config, size int64) *race {
	c.Workers, c.MaxRead = 3, 64<<10
	r := &race{f: makeFile("f", 140, size)}
	r.check = func(t *testing.T, p pattern.Pattern, got []byte, off int64) { same(t, p, got, off) }
	r.m = start(t, c, r.f)
	return r
}

// run has readers read while disturb is called over and over.
func (r *race) run(t *testing.T, disturb func(rnd *rand.Rand)) {
	t.Helper()
	number := uint64(time.Now().UnixNano())
	t.Logf("seed %d", number)
	end := time.Now().Add(raceTime)
	var all sync.WaitGroup
	for i := range uint64(3) {
		h := r.m.open(r.f.Name)
		rnd := rand.New(rand.NewPCG(number, i))
		all.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				r.readOnce(t, h, rnd)
			}
		})
	}
	rnd := rand.New(rand.NewPCG(number, 99))
	within(t, "race", func() {
		for time.Now().Before(end) && !t.Failed() {
			disturb(rnd)
		}
		all.Wait()
	})
	t.Logf("%d reads", r.reads.Load())
	if r.reads.Load() == 0 {
		t.Error("nothing was read")
	}
}

// readOnce reads somewhere.
func (r *race) readOnce(t *testing.T, h *os.File, rnd *rand.Rand) {
	off := rnd.Int64N(r.f.Size)
	b := make([]byte, 1+rnd.Int64N(100<<10))
	n, err := h.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("read of %d bytes at %d: %v", len(b), off, err)
	}
	r.check(t, r.f.Of, b[:n], off)
	r.reads.Add(1)
	if rnd.IntN(4) == 0 {
		guest.Evict(t, h)
	}
}

// sameOrZero lets bytes be 0 where a hole was.
func sameOrZero(t *testing.T, p pattern.Pattern, got []byte, off int64) {
	want := make([]byte, len(got))
	_, _ = p.ReadAt(want, off) // never fails
	for i, b := range got {
		if b != want[i] && b != 0 {
			t.Errorf("byte %d is %#02x, want %#02x or 0", off+int64(i), b, want[i])
			clean(t, got, off)
			return
		}
	}
}

func truncateRacesReads(t *testing.T, c config) {
	r := startRace(t, c, 512<<10)
	r.check = sameOrZero
	w := r.m.openFlags(r.f.Name, os.O_RDWR)
	r.run(t, func(rnd *rand.Rand) {
		short := rnd.Int64N(r.f.Size)
		for _, size := range []int64{short, r.f.Size} {
			if err := w.Truncate(size); err != nil {
				t.Error(err)
			}
		}
		r.rewrite(t, w, short, r.f.Size)
	})
	guest.Evict(t, w)
	same(t, r.f.Of, readAll(t, w, mib), 0)
}

// rewrite puts the right bytes back.
func (r *race) rewrite(t *testing.T, w *os.File, from, to int64) {
	b := make([]byte, to-from)
	_, _ = r.f.Of.ReadAt(b, from) // never fails
	if _, err := w.WriteAt(b, from); err != nil {
		t.Error(err)
	}
}

func holePunchRacesReads(t *testing.T, c config) {
	r := startRace(t, c, 512<<10)
	r.check = sameOrZero
	w := r.m.openFlags(r.f.Name, os.O_RDWR)
	r.run(t, func(rnd *rand.Rand) {
		from := rnd.Int64N(r.f.Size)
		to := from + 1 + rnd.Int64N(r.f.Size-from)
		if err := unix.Fallocate(int(w.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from); err != nil {
			t.Errorf("punch a hole: %v", err)
		}
		r.rewrite(t, w, from, to)
	})
	guest.Evict(t, w)
	same(t, r.f.Of, readAll(t, w, mib), 0)
}

func dropCachesRacesReads(t *testing.T, c config) {
	r := startRace(t, c, mib)
	r.run(t, func(*rand.Rand) { guest.DropCaches(t) })
}

func invalidationRacesReads(t *testing.T, c config) {
	c.KeepCache = true
	r := startRace(t, c, mib)
	before := r.m.stats().Requests
	r.run(t, func(rnd *rand.Rand) {
		off := rnd.Int64N(r.f.Size)
		r.m.order(order{Invalidate: &span{File: r.f, Off: off, Size: rnd.Int64N(r.f.Size)}})
	})
	if r.m.stats().Requests == before {
		t.Error("the server saw no request")
	}
}

func storeRacesReads(t *testing.T, c config) {
	c.KeepCache = true
	r := startRace(t, c, mib)
	r.run(t, func(rnd *rand.Rand) {
		off := rnd.Int64N(r.f.Size - 1)
		size := 1 + rnd.Int64N(min(r.f.Size-off, 60<<10))
		r.m.order(order{Store: &span{File: r.f, Off: off, Size: size}})
	})
}

// memoryPressureRacesReads has another process take what memory is free, so
// that the kernel takes the file's pages away while they are read.
func memoryPressureRacesReads(t *testing.T, c config) {
	if testing.Short() {
		t.Skip("fills the memory of the guest")
	}
	r := startRace(t, c, 24<<20)
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
