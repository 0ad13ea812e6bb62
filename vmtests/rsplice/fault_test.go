package rsplice

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// sweepPages is the number of READs of one page that a sweep can have: more
	// than there are places where a call can fail.
	sweepPages = 400
	// maxSites is where a sweep that does not end is given up.
	maxSites = 150
)

// faults lets the kernel fail where it may: the nth time that this thread asks for
// memory or copies from or to user space (fault-injection in the kernel's
// Documentation).
type faults struct {
	nth   int    // file descriptor of fail-nth
	debug string // where debugfs is
}

func newFaults(t *testing.T) *faults {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	noPreemption(t)
	f := &faults{debug: t.TempDir()}
	var err error
	f.nth, err = unix.Open("/proc/thread-self/fail-nth", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("kernel has no CONFIG_FAULT_INJECTION")
	}
	t.Cleanup(func() { unix.Close(f.nth) })
	if err := unix.Mount("debugfs", f.debug, "debugfs", 0, ""); err != nil {
		t.Fatalf("mount debugfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(f.debug, unix.MNT_DETACH) })
	// what may wait fails too, and single pages, and those for user space
	f.set(t, "failslab/ignore-gfp-wait", "N")
	f.set(t, "fail_page_alloc/ignore-gfp-wait", "N")
	f.set(t, "fail_page_alloc/ignore-gfp-highmem", "N")
	f.set(t, "fail_page_alloc/min-order", "0")
	for _, attr := range []string{"failslab", "fail_page_alloc", "fail_usercopy"} {
		f.set(t, attr+"/verbose", "0")
	}
	return f
}

// noPreemption keeps from this thread the signal by which the Go runtime interrupts
// it: if that came when the next copy is to fail it would be its own frame's, which
// ends the process.
func noPreemption(t *testing.T) {
	t.Helper()
	var urgent, before unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) })
}

// set changes a knob in debugfs.
func (f *faults) set(t *testing.T, knob, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.debug, knob), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// during makes a call whose nth place fails, and tells whether it had as many.
func (f *faults) during(t *testing.T, nth int, call func() error) (failed bool, err error) {
	t.Helper()
	if _, err := unix.Pwrite(f.nth, []byte(strconv.Itoa(nth)), 0); err != nil {
		t.Fatal(err)
	}
	err = call()
	return f.reset(t), err
}

// reset lets nothing fail any more, and tells whether something has. Both calls
// copy, too, so they may be what fails.
func (f *faults) reset(t *testing.T) (failed bool) {
	t.Helper()
	b := make([]byte, 16)
	n, err := unix.Pread(f.nth, b, 0)
	if err != nil && err != unix.EFAULT {
		t.Fatal(err)
	}
	failed = err == nil && string(b[:n]) == "0\n"
	_, err = unix.Pwrite(f.nth, []byte("0"), 0)
	if err == unix.EFAULT {
		_, err = unix.Pwrite(f.nth, []byte("0"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

// A faultyCall is one that is made to fail, and what comes before it.
type faultyCall struct {
	name   string // one that begins with reply or complete ends the READ if it succeeds
	before func(t *testing.T, s *server, req request)
	call   func(s *server, req request) error
	sites  int // at least
}

// faultyCalls are the forms of the call, and the reply.
func faultyCalls(t *testing.T, s *server) []faultyCall {
	t.Helper()
	claim := func(t *testing.T, s *server, req request) { s.claim(t, req) }
	other := newPipe(t)
	disk, raw := s.newLoop(t, 0), s.newLoop(t, unix.O_DIRECT)
	direct := func(source int) func(s *server, req request) error {
		return func(s *server, req request) error {
			var off int64
			_, err := rsplice.Direct(s.device, req.unique, source, &off, req.size)
			return err
		}
	}
	return []faultyCall{
		{"claim", nil, func(s *server, req request) error {
			_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 100, 0)
			return err
		}, 3},
		{"fill", claim, func(s *server, req request) error {
			var off int64
			_, err := rsplice.Fill(s.pipe[0], s.sourceFD(), &off, req.size, 0)
			return err
		}, 2},
		{"move", claim, func(s *server, _ request) error {
			_, err := rsplice.Move(s.pipe[0], other[1], 10, 0)
			_, _ = rsplice.Fill(other[0], s.sourceFD(), nil, 10, rsplice.Nonblock)
			return err
		}, 1},
		{"direct", nil, direct(s.sourceFD()), 4},
		{"direct, cold disk", func(t *testing.T, s *server, _ request) {
			if err := unix.Fadvise(disk, 0, 0, unix.FADV_DONTNEED); err != nil {
				t.Fatal(err)
			}
		}, direct(disk), 5},
		{"direct, direct I/O", nil, direct(raw), 4},
		{"complete", nil, func(s *server, req request) error {
			_, err := s.complete(req, req.size)
			return err
		}, 4},
		{"complete, direct I/O", nil, func(s *server, req request) error {
			off := req.off
			_, err := rsplice.Complete(s.device, req.unique, raw, &off, req.size)
			return err
		}, 4},
		{"reply", func(t *testing.T, s *server, req request) {
			s.claim(t, req)
			s.fill(t, req.off, req.size)
		}, func(s *server, req request) error { return rsplice.Reply(s.device, req.unique, req.size) }, 0},
		{"reply with data", claim, func(s *server, req request) error { return s.replyData(req, req.size) }, 0},
	}
}

// Each place where a call asks for memory, or copies an argument, fails once. The
// call fails or succeeds, but whatever it does the READ can be answered.
func TestEveryCallMayFailAnywhere(t *testing.T) {
	need(t)
	for name, flags := range map[string]uint32{"page-cache": 0, "user-memory": directIO} {
		t.Run(name, func(t *testing.T) { sweep(t, flags) })
	}
}

func sweep(t *testing.T, openFlags uint32) {
	f := newFaults(t)
	s := mountSize(t, openFlags, rsplice.InitFlag, sweepPages, fmt.Sprintf("max_read=%d", guest.PageSize()))
	s.margin = alignedMargin
	r := s.read(t, 0, int(s.size))
	for _, c := range faultyCalls(t, s) {
		seen := map[string]int{}
		for nth, more := 1, true; more; nth++ {
			if nth > maxSites {
				t.Fatalf("%s does not end to fail", c.name)
			}
			more = s.failOnce(t, f, c, nth, seen)
			if !more {
				t.Logf("%s: %d places, %v", c.name, nth-1, seen)
			}
			if !more && nth-1 < c.sites {
				t.Errorf("%s has %d places where it can fail, want %d: the test has shown nothing", c.name, nth-1, c.sites)
			}
		}
	}
	r.gets(t, s, int(s.size))
}

// failOnce lets a call fail at its nth place, and then answers the READ.
func (s *server) failOnce(t *testing.T, f *faults, c faultyCall, nth int, seen map[string]int) (failed bool) {
	t.Helper()
	req := s.next(t)
	if c.before != nil {
		c.before(t, s, req)
	}
	failed, err := f.during(t, nth, func() error { return c.call(s, req) })
	seen[fmt.Sprint(err)]++
	switch {
	case err == nil, err == unix.ENOMEM, err == unix.EFAULT:
	case err == unix.EIO && strings.Contains(c.name, "disk"): // its pages could not be had
	default:
		t.Errorf("%s, place %d: %v", c.name, nth, err)
	}
	s.drop(t)
	ends := strings.HasPrefix(c.name, "reply") || strings.HasPrefix(c.name, "complete")
	answered := ends && err == nil
	if err := s.replyData(req, req.size); (err == unix.ENOENT) != answered || err != nil && !answered {
		t.Errorf("%s, place %d: reply: %v", c.name, nth, err)
	}
	return failed
}

// testNoMemory is the row of the manual: each form that needs memory says so.
func testNoMemory(t *testing.T, want unix.Errno) {
	f := newFaults(t)
	other := newPipe(t)
	near, _ := newSocket(t)
	nonblock(t, near) // and without data: nothing is filled or completed by it
	withRead(t, 0, func(s *server, req request) {
		f.says(t, want, "claim and fill", func() error { _, err := rsplice.Direct(s.device, req.unique, near, nil, 1); return err })
		f.says(t, want, "complete", func() error { _, err := rsplice.Complete(s.device, req.unique, near, nil, 1); return err })
		s.claim(t, req)
		f.says(t, want, "claim", func() error { _, err := rsplice.Claim(s.device, req.unique, s.pipe[1], 1, 0); return err })
		f.says(t, want, "fill", func() error { _, err := rsplice.Fill(s.pipe[0], s.sourceFD(), nil, 1, 0); return err })
		f.says(t, want, "move", func() error { _, err := rsplice.Move(s.pipe[0], other[1], 1, 0); return err })
	})
}

// says lets each place of a call fail, in one of which it must say why.
func (f *faults) says(t *testing.T, want unix.Errno, name string, call func() error) {
	t.Helper()
	seen := false
	for nth, more := 1, true; more && nth < maxSites; nth++ {
		var err error
		more, err = f.during(t, nth, call)
		seen = seen || err == want
	}
	if !seen {
		t.Errorf("%s never says %v", name, want)
	}
}

// functions are those on the way of a call that the kernel marks as able to fail,
// besides the allocators, which have been swept.
func (f *faults) functions(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.debug, "fail_function", "injectable"))
	if err != nil {
		t.Skip("kernel has no CONFIG_FAIL_FUNCTION")
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), "\t")
		entry := strings.Contains(name, "sys_") // of system calls, this one's too
		if kind == "ERRNO" && !entry && name != "should_failslab" {
			all = append(all, name)
		}
	}
	if !slices.Contains(all, "should_fail_bio") || len(all) > 100 {
		t.Fatalf("functions that can fail: %v: not understood", all)
	}
	return all
}

// Each function that can be made to fail does so, once, the first or a later time
// that a fill from a cold disk comes to it.
func TestEveryFunctionOfAFillMayFail(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		f := newFaults(t)
		r := s.read(t, 0, 4*guest.PageSize())
		req := s.next(t)
		disk := s.newLoop(t, 0)
		all := f.functions(t)
		f.set(t, "fail_function/verbose", "0")
		f.set(t, "fail_function/probability", "100")
		hits := 0
		for _, name := range all {
			f.set(t, "fail_function/inject", name)
			f.set(t, "fail_function/"+name+"/retval", strconv.FormatUint(^uint64(unix.ENOMEM)+1, 10))
			for skip, hit := 0, true; hit && skip < maxSites; skip++ {
				if err := unix.Fadvise(disk, 0, 0, unix.FADV_DONTNEED); err != nil {
					t.Fatal(err)
				}
				n, err := s.claimAndFillOnce(t, f, disk, req, skip)
				hit = f.spent(t)
				if err != nil && err != unix.ENOMEM && err != unix.EIO || err == nil && !hit && n == 0 {
					t.Errorf("%s fails: %d, %v", name, n, err)
				}
				if hit {
					hits++
					t.Logf("%s fails, time %d: %d, %v", name, skip, n, err)
				}
			}
			f.set(t, "fail_function/inject", "!"+name)
		}
		if hits == 0 {
			t.Error("no function has failed: the test has shown nothing")
		}
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		r.gets(t, s, 4*guest.PageSize())
	})
}

// claimAndFillOnce fills a READ, whose buffers nobody has yet, from a disk; the
// function that is to fail does not do so before its time.
func (s *server) claimAndFillOnce(t *testing.T, f *faults, disk int, req request, skip int) (int, error) {
	t.Helper()
	s.drop(t)
	f.set(t, "fail_function/space", strconv.Itoa(skip))
	f.set(t, "fail_function/times", "1")
	var off int64
	n, err := rsplice.Direct(s.device, req.unique, disk, &off, 1)
	return n, err
}

// spent tells whether the function has failed since.
func (f *faults) spent(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.debug, "fail_function", "times"))
	if err != nil {
		t.Fatal(err)
	}
	f.set(t, "fail_function/times", "0")
	return strings.TrimSpace(string(b)) == "0"
}
