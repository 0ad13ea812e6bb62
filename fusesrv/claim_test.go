package fusesrv

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A claimant tries to claim READs that have come by a ring.
type claimant struct {
	t       *testing.T
	devices map[string]int
	source  int
	pipe    [2]int
	tried   atomic.Int64 // READs
}

// claim tries every way to claim a READ on every descriptor of its device. None of
// them has it: the ring has.
func (c *claimant) claim(unique uint64, size int) {
	c.tried.Add(1)
	for name, device := range c.devices {
		off := int64(0)
		_, claimed := rsplice.Claim(device, unique, c.pipe[1], size, rsplice.Nonblock)
		_, filled := rsplice.Direct(device, unique, c.source, &off, size)
		_, completed := rsplice.Complete(device, unique, c.source, &off, size)
		replied := rsplice.Reply(device, unique, size)
		for what, err := range map[string]error{"claim": claimed, "claim and fill": filled, "all in one": completed, "reply": replied} {
			if !errors.Is(err, unix.ENOENT) {
				c.t.Errorf("%s of a READ of a ring on %s: %v, want ENOENT", what, name, err)
			}
		}
	}
}

// needBoth skips a test on kernels that lack rsplice(2), or FUSE over io_uring.
func needBoth(t *testing.T) {
	t.Helper()
	guest.Need(t)
	guest.Since(t, guest.Release{Major: 6, Minor: 14}, "FUSE over io_uring")
	if !rsplice.CanComplete() {
		guest.Lacks(t, "rsplice.want", "rsplice(2)")
	}
	if err := os.WriteFile(ringParameter, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// newClaimant serves src on dir by a ring, with what rsplice(2) needs negotiated,
// and has each READ claimed before it is answered. It fills from the file f.
func newClaimant(t *testing.T, src, dir, f string) *claimant {
	t.Helper()
	dev, err := openDevice()
	if err != nil {
		t.Fatal(err)
	}
	c := &claimant{t: t}
	o := Options{Path: "io_uring", Hooks: Hooks{OnReply: func(r Reply) { c.claim(r.Unique, r.Asked) }}}
	s, err := newServer(dir, dev, Loopback(src), &o)
	if err != nil {
		t.Fatal(err)
	}
	s.proto = fuse.NewProtocolServer(s.raw, &fuse.MountOptions{
		MaxWrite:             o.MaxRead,
		ExtraCapabilities:    s.path.initFlags | rsplice.InitFlag,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
	})
	if err := s.start(dev, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Abort(); err != nil {
			t.Error(err)
		}
	})
	clone, err := cloneOf(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(clone) })
	c.devices = map[string]int{"the device": dev, "a clone of it": clone}
	if c.source, err = unix.Open(filepath.Join(src, f), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.source) })
	if err := unix.Pipe2(c.pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.pipe[0]); unix.Close(c.pipe[1]) })
	return c
}

// A READ that has come by io_uring(7) cannot be claimed, and its reader gets what
// the ring answers.
func TestReadsOfARingCannotBeClaimed(t *testing.T) {
	needBoth(t)
	of := pattern.Pattern{Seed: 7, File: 4}
	data := make([]byte, 16*guest.PageSize())
	_, _ = of.ReadAt(data, 0) // never fails
	src, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClaimant(t, src, dir, "f")
	// Not by package os: see crooked.read.
	fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	got := make([]byte, len(data))
	if n, err := unix.Pread(fd, got, 0); n != len(got) || err != nil || !slices.Equal(got, data) {
		t.Errorf("read: %d bytes of %d, %v, %v", n, len(data), err, of.Check(got, 0))
	}
	if c.tried.Load() == 0 {
		t.Error("no READ came by the ring: nothing is tested")
	}
}
