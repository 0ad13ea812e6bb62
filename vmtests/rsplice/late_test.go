package rsplice

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A slowDisk is a block device that answers when the test lets it: a loop
// device on a file of another server. A read of it cannot be interrupted, so a
// fill from it outlives its READ.
type slowDisk struct {
	*server
	fd int
}

// whileServing does what the server must be asked for.
func (s *server) whileServing(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
			s.serve(t)
		}
	}
	t.Fatal("a call that needs the server does not return")
}

func newSlowDisk(t *testing.T) *slowDisk {
	t.Helper()
	d := &slowDisk{server: mountWith(t, 0, 0), fd: -1}
	d.data = pattern.Pattern{Seed: 99, File: 99}
	d.whileServing(t, d.attach)
	t.Cleanup(func() {
		d.whileServing(t, func() error {
			_ = unix.IoctlSetInt(d.fd, unix.LOOP_CLR_FD, 0)
			return unix.Close(d.fd)
		})
	})
	return d
}

func (d *slowDisk) attach() (err error) {
	d.fd, err = attachLoop(d.file(), 0)
	return err
}

// fillFrom starts a fill of all of a claimed READ from the disk, and returns
// when the disk has been asked, together with what it was asked.
func (s *server) fillFrom(t *testing.T, d *slowDisk, req request) (*filling, request) {
	t.Helper()
	f := &filling{done: make(chan error, 1)}
	go func() {
		var off int64
		_, err := rsplice.Fill(s.pipe[0], d.fd, &off, req.size, 0)
		f.done <- err
	}()
	return f, d.next(t)
}

// The page that a fill still writes to when its READ has failed is not in the
// page cache any more.
func TestLateFillIsNotSeenInThePageCache(t *testing.T) {
	need(t)
	s, d := mount(t, keepCache), newSlowDisk(t)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	f, asked := s.fillFrom(t, d, req)
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Fatalf("error reply: %v", err)
	}
	r.gets(t, s, guest.PageSize()) // asks again

	if err := d.replyData(asked, asked.size); err != nil {
		t.Fatal(err)
	}
	d.serve(t)
	_ = f.ends(t)
	before := s.copied
	r = s.read(t, 0, guest.PageSize())
	r.gets(t, s, guest.PageSize())
	if s.copied != before {
		t.Error("the page was read again: the test has shown nothing")
	}
}

// A fill whose task was killed may be writing still when nothing is left of it
// that the kernel knows: its pages leave the page cache with the READ, too.
func TestPagesOfAKilledFillLeaveTheCache(t *testing.T) {
	need(t)
	// A reader waits for its page, and not for the READ: it can be killed. The
	// source is that of TestKilledFillOfAnUnsettledSource.
	s, other := mountWith(t, keepCache, rsplice.InitFlag|initAsyncRead), mountWith(t, noFlush, initAsyncRead)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	var asked []request
	s.killInAFill(t, req, other, func(req request) { asked = append(asked, req) })
	fails(t, "reply", rsplice.Reply(s.device, req.unique, 1), unix.EBUSY)
	// A reader that lives would ask for the pages again.
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.whileServing(t, func() error { _ = r.cmd.Wait(); return nil })
	moves(t, "pages in the cache before the READ ends", s.cached(t), nil, req.size/guest.PageSize())
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Fatalf("error reply: %v", err)
	}
	moves(t, "pages in the cache when it has ended", s.cached(t), nil, 0)
	for _, req := range asked {
		_ = other.replyData(req, req.size)
	}
	s.read(t, 0, guest.PageSize()).gets(t, s, guest.PageSize())
}

// cached is how many pages of the server's file are in the page cache, up to date
// or not.
func (s *server) cached(t *testing.T) int {
	t.Helper()
	var st guest.CacheStat
	s.whileServing(t, func() error {
		fd, err := unix.Open(s.file(), unix.O_RDONLY|unix.O_CLOEXEC, 0) // os.Open would poll
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), s.file())
		defer f.Close()
		st, err = guest.Cachestat(f, 0, 0)
		return err
	})
	return int(st.Cache)
}

// A reader's own memory cannot be taken away from a fill: read(2) returns when
// the fill is over, nobody but the reader waits for that, and nothing is written
// afterwards. The same goes for the end of a reader that was killed.
func TestReaderWaitsForALateFill(t *testing.T) {
	need(t)
	fail := func(t *testing.T, s *server, req request) {
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
	}
	for name, end := range map[string]func(t *testing.T, s *server, req request, r *reader){
		"error-reply":    func(t *testing.T, s *server, req request, _ *reader) { fail(t, s, req) },
		"forced-unmount": func(_ *testing.T, s *server, _ request, _ *reader) { _ = unix.Unmount(s.dir, unix.MNT_FORCE) },
		"abort":          func(t *testing.T, s *server, _ request, _ *reader) { s.abort(t) },
		"killed": func(t *testing.T, s *server, req request, r *reader) {
			if err := r.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			fail(t, s, req)
		},
		"killed-and-abort": func(t *testing.T, s *server, _ request, r *reader) {
			if err := r.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			s.abort(t)
		},
	} {
		t.Run(name, func(t *testing.T) { lateFill(t, end, false) })
		if !strings.HasPrefix(name, "killed") { // nobody would wait for the end
			t.Run(name+"-async", func(t *testing.T) { lateFill(t, end, true) })
		}
	}
}

func lateFill(t *testing.T, end func(t *testing.T, s *server, req request, r *reader), async bool) {
	s, d := mountWith(t, directIO, rsplice.InitFlag|initAsyncDIO), newSlowDisk(t)
	s.shareMemory, s.async = true, async
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	f, asked := s.fillFrom(t, d, req)

	start := time.Now()
	end(t, s, req, r)
	if took := time.Since(start); took > prompt {
		t.Errorf("the end of the READ took %v", took)
	}
	returned := make(chan bool)
	go func() { // when read(2) has returned, or the reader has died in it
		res := <-r.returned
		r.returned <- res
		close(returned)
	}()
	select {
	case <-returned:
		t.Error("read(2) has returned while its memory was being filled")
	case <-time.After(50 * time.Millisecond):
	}
	if !onlyCanary(r.shared) {
		t.Fatal("the disk has answered: the test would show nothing")
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_ = d.replyData(asked, asked.size)
	}()
	for waiting := true; waiting; {
		select {
		case <-returned:
			waiting = false
		default:
			d.serve(t)
			s.serve(t)
		}
	}
	before := bytes.Clone(r.shared)
	_ = f.ends(t)
	time.Sleep(50 * time.Millisecond)
	if !bytes.Equal(r.shared, before) {
		t.Error("memory was written to after read(2) had returned")
	}
}
