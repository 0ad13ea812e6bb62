package fuseread

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// A reading is a read(2) of one page that runs beside the test.
type reading struct {
	done chan struct{} // closed when it has returned
	got  []byte
	err  error
}

// beginRead reads the page of h at off.
func beginRead(h *os.File, off int64) *reading {
	r := &reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		b := make([]byte, guest.PageSize())
		n, err := h.ReadAt(b, off)
		r.got, r.err = b[:n], err
	}()
	return r
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

func TestReadWaitsForASlowServer(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
		f := makeFile("f", 30, int64(guest.PageSize()))
		m := start(t, onePage(c), f)
		h := m.open(f.Name)
		m.hold()
		first := beginRead(h, 0)
		m.awaitHeld(1)
		second := beginRead(h, 0)
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
			guest.Same(t, f.Of, r.got, 0)
		}
		if n := m.stats().Reads; n != 1 {
			t.Errorf("two readers of one page made %d READs, want 1", n)
		}
	})
}

func TestHeldReadDoesNotHoldUpOthers(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
		c.Workers = 2
		slow, cached := makeFile("slow", 31, int64(guest.PageSize())), makeFile("cached", 32, 100<<10)
		m := start(t, c, slow, cached)
		hs, hc := m.open(slow.Name), m.open(cached.Name)
		guest.Same(t, cached.Of, readAll(t, hc, mib), 0)
		m.hold()
		held := beginRead(hs, 0)
		m.awaitHeld(1)
		within(t, "read of a cached file", func() { guest.Same(t, cached.Of, readAll(t, hc, mib), 0) })
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
		guest.Same(t, slow.Of, held.got, 0)
	})
}

func TestKilledReaderLeavesTheFileReadable(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
		f := makeFile("f", 33, 3*int64(guest.PageSize()))
		m := start(t, onePage(c), f)
		m.hold()
		reader := exec.Command("/proc/self/exe")
		reader.Env = append(os.Environ(), envRead+"="+filepath.Join(m.dir, f.Name))
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
			guest.Same(t, f.Of, got, 0)
		})
	})
}

func TestErrorOfTheServerReachesTheReader(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
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
		guest.Same(t, f.Of, readAll(t, h, mib), 0)
	})
}

func TestServerDeathEndsItsReaders(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
		page := int64(guest.PageSize())
		f := makeFile("f", 35, 16*page)
		m := start(t, onePage(c), f)
		h := m.open(f.Name)
		if err := unix.Fadvise(int(h.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
			t.Fatal(err)
		}
		guest.Same(t, f.Of, readAt(t, h, 0, int(page)), 0)
		mem := mapFile(t, h, f.Size, unix.PROT_READ, unix.MAP_SHARED)
		m.hold()
		held := beginRead(h, 8*page)
		m.awaitHeld(1)
		held.running(t)
		m.kill()
		await(t, "read held by a dead server", held.done)
		if held.err == nil || errors.Is(held.err, io.EOF) || len(held.got) != 0 {
			t.Errorf("read held by a dead server: %d bytes, %v; want an error", len(held.got), held.err)
		}
		within(t, "read after the server died", func() {
			n, err := h.ReadAt(make([]byte, page), 9*page)
			if n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("read after the server died: %d bytes, %v; want an error", n, err)
			}
		})
		if err := touch(mem, int(10*page)); err == nil {
			t.Error("a page that was never read can be touched after the server died")
		}
		if _, err := os.Open(filepath.Join(m.dir, f.Name)); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("open after the server died: %v, want ENOTCONN", err)
		}
		// What is cached may stay readable; then it is right.
		if err := touch(mem, 0); err == nil {
			guest.Same(t, f.Of, mem[:page], 0)
		}
	})
}

func TestForcedUnmountEndsItsReaders(t *testing.T) {
	eachTree(t, func(t *testing.T, c config) {
		f := makeFile("f", 36, int64(guest.PageSize()))
		m := start(t, onePage(c), f)
		h := m.open(f.Name)
		m.hold()
		held := beginRead(h, 0)
		m.awaitHeld(1)
		within(t, "umount -f", func() {
			if err := unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
				t.Errorf("umount -f: %v", err)
			}
		})
		await(t, "read of an aborted connection", held.done)
		if held.err == nil || errors.Is(held.err, io.EOF) || len(held.got) != 0 {
			t.Errorf("read of an aborted connection: %d bytes, %v; want an error", len(held.got), held.err)
		}
		m.gone = true
	})
}
