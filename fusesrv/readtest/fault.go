package readtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/vmtests/guest"
)

// A reading is a read(2) of one page that runs beside the test.
type reading struct {
	done chan struct{} // closed when it has returned
	got  []byte
	err  error
	mem  []byte // what it reads into
	then []byte // what was in mem when it returned
}

// beginRead reads the page of h at off. Its memory is never used again: who writes
// to it too late does no other harm.
func beginRead(t *testing.T, h *os.File, off int64) *reading {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, guest.PageSize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	r := &reading{done: make(chan struct{}), mem: mem}
	go func() {
		defer close(r.done)
		n, err := h.ReadAt(r.mem, off)
		r.got, r.err = r.mem[:n], err
		r.then = bytes.Clone(r.mem)
	}()
	return r
}

// untouched fails the test if somebody has written into the memory of a read that
// had returned.
func (r *reading) untouched(t *testing.T) {
	t.Helper()
	if !bytes.Equal(r.mem, r.then) {
		t.Error("the reader's memory has changed since its read(2) returned")
	}
}

// running fails the test if r has returned.
func (r *reading) running(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
		t.Fatalf("the read returned %d bytes, %v, before the server answered", len(r.got), r.err)
	default:
	}
}

// awaitHeld returns when the server holds n READs.
func (m *mount) awaitHeld(n int) {
	m.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if m.order(order{}).Waiting >= n {
			return
		}
	}
	m.t.Fatalf("the server does not hold %d READs after %v", n, patience)
}

// onePage makes a config whose READs are a page each, so that a held READ is
// about one page.
func onePage(c config) config {
	c.MaxRead = guest.PageSize()
	return c
}

// faultCases are about servers that are slow, fail or end, and readers that
// are killed.
func faultCases() []Case {
	return slices.Concat(
		about(everywhere(), true, map[string]func(t *testing.T, c config){
			"ReadWaitsForASlowServer":          readWaitsForASlowServer,
			"HeldReadDoesNotHoldUpOthers":      heldReadDoesNotHoldUpOthers,
			"ErrorOfTheServerReachesTheReader": errorOfTheServerReachesTheReader,
		}),
		about([]string{files, sockets}, true, map[string]func(t *testing.T, c config){
			"KilledReaderLeavesTheFileReadable": killedReaderLeavesTheFileReadable,
			"ServerDeathEndsItsReaders":         serverDeathEndsItsReaders,
			"AbortEndsItsReaders":               abortEndsItsReaders,
			"LazyUnmountLetsReadersFinish":      lazyUnmountLetsReadersFinish,
		}))
}

func readWaitsForASlowServer(t *testing.T, c config) {
	f := makeFile("f", 30, int64(guest.PageSize()))
	m := start(t, onePage(c), f)
	h := m.open(f.Name)
	m.hold()
	first := beginRead(t, h, 0)
	m.awaitHeld(1)
	second := beginRead(t, h, 0)
	time.Sleep(50 * time.Millisecond)
	first.running(t)
	second.running(t)
	if n := guest.ResidentPages(t, h); n != 0 {
		t.Errorf("%d pages are up to date before the server answered", n)
	}
	if n := m.stats().Reads; n != 1 {
		t.Errorf("two readers of one page made %d READs, want 1", n)
	}
	m.release()
	for _, r := range []*reading{first, second} {
		await(t, "read", r.done)
		if r.err != nil {
			t.Error(r.err)
		}
		same(t, f.Of, r.got, 0)
	}
	if n := m.stats().Reads; n != 1 {
		t.Errorf("two readers of one page made %d READs, want 1", n)
	}
}

func heldReadDoesNotHoldUpOthers(t *testing.T, c config) {
	c.Workers = 2
	slow, cached := makeFile("slow", 31, int64(guest.PageSize())), makeFile("cached", 32, 100<<10)
	m := start(t, c, slow, cached)
	hs, hc := m.open(slow.Name), m.open(cached.Name)
	same(t, cached.Of, readAll(t, hc, mib), 0)
	m.hold()
	held := beginRead(t, hs, 0)
	m.awaitHeld(1)
	within(t, "read of a cached file", func() { same(t, cached.Of, readAll(t, hc, mib), 0) })
	within(t, "stat through the other worker", func() {
		if info, err := os.Stat(m.dir); err != nil || !info.IsDir() {
			t.Errorf("stat: %v", err)
		}
		if _, err := os.ReadDir(m.dir); err != nil {
			t.Error(err)
		}
	})
	held.running(t)
	m.release()
	await(t, "held read", held.done)
	same(t, slow.Of, held.got, 0)
}

// steps are those at which a path's answers can be held up.
func steps(c config) map[string]fusesrv.Step {
	all := map[string]fusesrv.Step{"asked": stepAsked, "filled": fusesrv.StepFilled}
	if c.Path == "rsplice-direct" || c.Path == zeroCopy && !c.Sockets {
		delete(all, "filled") // one call fills and replies
	}
	if c.Path == "rsplice-pipe" {
		all["claimed"] = fusesrv.StepClaimed
	}
	if c.Sockets {
		all["stalled"] = stepStalled
	}
	return all
}

// eachStep runs test for every step at which an answer can be held up, for readers
// of the page cache and for those that get the answer in their own memory.
func eachStep(t *testing.T, c config, test func(t *testing.T, c config, at fusesrv.Step)) {
	for name, at := range steps(c) {
		for suffix, direct := range map[string]bool{"": false, "-direct": true} {
			t.Run(name+suffix, func(t *testing.T) {
				c.DirectIO = direct
				if c.Loopback != "" {
					c.Loopback = t.TempDir()
				}
				test(t, onePage(c), at)
			})
		}
	}
}

// mapCached maps all of f if it is read by way of the page cache.
func mapCached(t *testing.T, c config, h *os.File, size int64) []byte {
	t.Helper()
	if c.DirectIO {
		return nil
	}
	return mapFile(t, h, size, unix.PROT_READ, unix.MAP_SHARED)
}

// neverRead fails the test if a byte of a mapping can be read that no READ brought.
func neverRead(t *testing.T, mem []byte, at int) {
	t.Helper()
	if mem == nil {
		return
	}
	if err := touch(mem, at); err == nil {
		t.Errorf("byte %d, which was never read, can be touched after the end", at)
	}
}

func killedReaderLeavesTheFileReadable(t *testing.T, c config) {
	eachStep(t, c, func(t *testing.T, c config, at fusesrv.Step) {
		f := makeFile("f", 33, 3*int64(guest.PageSize()))
		m := start(t, c, f)
		m.holdAt(at)
		reader := exec.Command("/proc/self/exe")
		reader.Env = append(os.Environ(), Env+"="+roleRead+filepath.Join(m.dir, f.Name))
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		m.awaitHeld(1)
		if err := reader.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		m.release()
		within(t, "end of the killed reader", func() {
			var exit *exec.ExitError
			if err := reader.Wait(); !errors.As(err, &exit) || exit.Exited() {
				t.Errorf("the reader ended with %v, want a signal", err)
			}
		})
		within(t, "read after the reader was killed", func() {
			got, err := os.ReadFile(filepath.Join(m.dir, f.Name))
			if err != nil || int64(len(got)) != f.Size {
				t.Errorf("read %d bytes of %d, %v", len(got), f.Size, err)
			}
			same(t, f.Of, got, 0)
		})
	})
}

func errorOfTheServerReachesTheReader(t *testing.T, c config) {
	f := makeFile("f", 34, 300<<10)
	m := start(t, c, f)
	h := m.open(f.Name)
	m.order(order{Fail: unix.EIO})
	if n, err := h.ReadAt(make([]byte, 10000), 0); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("read while the server fails: %d bytes, %v; want EIO", n, err)
	}
	if n := guest.ResidentPages(t, h); n != 0 {
		t.Errorf("%d pages are up to date after a failure", n)
	}
	if s := m.stats(); s.Failed == 0 || s.ReadBytes != 0 {
		t.Errorf("counters %+v: want failed READs only", s)
	}
	m.order(order{Mend: true})
	same(t, f.Of, readAll(t, h, mib), 0)
}

func serverDeathEndsItsReaders(t *testing.T, c config) {
	eachStep(t, c, func(t *testing.T, c config, at fusesrv.Step) {
		page := int64(guest.PageSize())
		f := makeFile("f", 35, 16*page)
		m := start(t, c, f)
		h := m.open(f.Name)
		if err := unix.Fadvise(int(h.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
			t.Fatal(err)
		}
		same(t, f.Of, readAt(t, h, 0, int(page)), 0)
		mem := mapCached(t, c, h, f.Size)
		m.holdAt(at)
		held := beginRead(t, h, 8*page)
		m.awaitHeld(1)
		held.running(t)
		m.kill()
		held.fails(t, "read held by a dead server")
		within(t, "read after the server died", func() {
			n, err := h.ReadAt(make([]byte, page), 9*page)
			if n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("read after the server died: %d bytes, %v; want an error", n, err)
			}
		})
		held.untouched(t)
		neverRead(t, mem, int(8*page))
		neverRead(t, mem, int(10*page))
		if _, err := os.Open(filepath.Join(m.dir, f.Name)); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("open after the server died: %v, want ENOTCONN", err)
		}
		// What is cached may stay readable; then it is right.
		if mem != nil && touch(mem, 0) == nil {
			same(t, f.Of, mem[:page], 0)
		}
	})
}

// fails waits for a read that must not yield anything.
func (r *reading) fails(t *testing.T, what string) {
	t.Helper()
	await(t, what, r.done)
	if r.err == nil || errors.Is(r.err, io.EOF) || len(r.got) != 0 {
		t.Errorf("%s: %d bytes, %v; want an error", what, len(r.got), r.err)
	}
}

func abortEndsItsReaders(t *testing.T, c config) {
	aborts := map[string]func(t *testing.T, m *mount){
		"fusectl": abortByControl,
		"umount-f": func(t *testing.T, m *mount) {
			// Busy, with a file open; the connection ends all the same.
			if err := unix.Unmount(m.dir, unix.MNT_FORCE); err != nil && !errors.Is(err, unix.EBUSY) {
				t.Errorf("umount -f: %v", err)
			}
		},
	}
	for name, abort := range aborts {
		t.Run(name, func(t *testing.T) {
			eachStep(t, c, func(t *testing.T, c config, at fusesrv.Step) {
				f := makeFile("f", 36, 2*int64(guest.PageSize()))
				m := start(t, c, f)
				h := m.open(f.Name)
				mem := mapCached(t, c, h, f.Size)
				m.holdAt(at)
				held := beginRead(t, h, 0)
				m.awaitHeld(1)
				held.running(t)
				within(t, "abort", func() { abort(t, m) })
				held.fails(t, "read of an aborted connection")
				m.release() // the answer comes too late
				time.Sleep(20 * time.Millisecond)
				if !(c.DirectIO && c.Path == zeroCopy) { // whose answer does reach it: TestZeroCopyLetsTheServer
					held.untouched(t)
				}
				neverRead(t, mem, 0)
				if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
					t.Errorf("unmount: %v", err)
				}
				m.gone = true
			})
		})
	}
}

// abortByControl ends m's connection through the file system that is there
// for it.
func abortByControl(t *testing.T, m *mount) {
	control := t.TempDir()
	if err := unix.Mount("fusectl", control, "fusectl", 0, ""); err != nil {
		t.Errorf("mount fusectl: %v", err)
		return
	}
	defer func() { _ = unix.Unmount(control, unix.MNT_DETACH) }()
	name := filepath.Join(control, fmt.Sprint(unix.Minor(m.dev)), "abort")
	if err := os.WriteFile(name, []byte("1"), 0); err != nil {
		t.Errorf("abort: %v", err)
	}
}

func lazyUnmountLetsReadersFinish(t *testing.T, c config) {
	eachStep(t, c, func(t *testing.T, c config, at fusesrv.Step) {
		f := makeFile("f", 37, int64(guest.PageSize()))
		m := start(t, c, f)
		h := m.open(f.Name)
		m.holdAt(at)
		held := beginRead(t, h, 0)
		m.awaitHeld(1)
		if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
			t.Errorf("lazy unmount: %v", err)
		}
		m.gone = true
		held.running(t)
		m.release()
		await(t, "read of a mount that is not there any more", held.done)
		if held.err != nil {
			t.Error(held.err)
		}
		same(t, f.Of, held.got, 0)
	})
}
