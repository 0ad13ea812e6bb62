package rsplice

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// abort ends the connection through fusectl.
func (s *server) abort(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	minor := -1
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 4 && f[4] == s.dir {
			_, _ = fmt.Sscanf(f[2], "0:%d", &minor)
		}
	}
	dir := t.TempDir()
	if err := unix.Mount("fusectl", dir, "fusectl", 0, ""); err != nil {
		t.Fatalf("mount fusectl: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	start := time.Now()
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(minor), "abort"), []byte("1"), 0); err != nil {
		t.Fatalf("abort: %v", err)
	}
	if took := time.Since(start); took > prompt {
		t.Errorf("abort took %v", took)
	}
}

// selves open the server's file, or something that is stacked on it, and return
// a descriptor. The server must be serving.
func selves() map[string]func(t *testing.T, s *server) (int, error) {
	return map[string]func(t *testing.T, s *server) (int, error){
		"itself": func(t *testing.T, s *server) (int, error) {
			return unix.Open(s.file(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		},
		"overlay": func(t *testing.T, s *server) (int, error) {
			dir, empty := t.TempDir(), t.TempDir()
			if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+empty+":"+s.dir); err != nil {
				return -1, fmt.Errorf("mount overlay: %w", err)
			}
			s.beforeUnmount = append(s.beforeUnmount, func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			return unix.Open(filepath.Join(dir, "data"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		},
		"loop": func(t *testing.T, s *server) (int, error) { return attachLoop(s.file(), 0) },
	}
}

// A source that needs the very page which it is to fill waits for it, until the
// READ ends: by an abort, or an error reply.
func TestSourceThatNeedsItsDestination(t *testing.T) {
	need(t)
	for end, how := range map[string]func(t *testing.T, s *server, req request){
		"abort": func(t *testing.T, s *server, _ request) { s.abort(t) },
		"error": func(t *testing.T, s *server, req request) {
			if err := s.reply(req.unique, unix.EIO, nil); err != nil {
				t.Errorf("error reply: %v", err)
			}
		},
	} {
		for name, open := range selves() {
			t.Run(name+"-"+end, func(t *testing.T) { fillFromSelf(t, open, how) })
		}
	}
}

func fillFromSelf(t *testing.T, open func(t *testing.T, s *server) (int, error), end func(t *testing.T, s *server, req request)) {
	s := mount(t, keepCache)
	last := s.size - int64(guest.PageSize()) // which nobody has read yet
	r := s.read(t, last, guest.PageSize())
	req := s.nextAt(t, last)
	// Only now: a process that is made while this one has a file of the
	// server's open closes that, and waits for the server.
	self := -1
	s.whileServing(t, func() (err error) {
		self, err = open(t, s)
		return err
	})
	done := make(chan bool, 1)
	s.beforeUnmount = append(s.beforeUnmount, func() {
		go func() { // closing needs the server, or its end
			_ = unix.IoctlSetInt(self, unix.LOOP_CLR_FD, 0)
			unix.Close(self)
			done <- true
		}()
	})
	s.afterUnmount = append(s.afterUnmount, func() { <-done })

	f := s.began(t, req, -1, func() error {
		off := req.off
		_, err := rsplice.Direct(s.device, req.unique, self, &off, req.size)
		return err
	})
	select {
	case err := <-f.done:
		t.Fatalf("fill from the page to be filled: %v, want it to wait", err)
	case <-time.After(50 * time.Millisecond):
	}
	end(t, s, req)
	s.whileServing(t, func() error {
		select {
		case <-f.done:
			return nil
		case <-time.After(prompt):
			return fmt.Errorf("fill still waits")
		}
	})
	if res := r.wait(t, s); res.n > 0 {
		guest.Same(t, s.data, r.memory(t, s)[r.margin:r.margin+res.n], last)
	}
}

// nextAt waits for the READ at off, and answers others.
func (s *server) nextAt(t *testing.T, off int64) request {
	t.Helper()
	for {
		req := s.next(t)
		if req.off == off {
			return req
		}
		if err := s.replyData(req, s.sizeAt(req)); err != nil {
			t.Fatal(err)
		}
	}
}
