package uring

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newRing returns a ring of this thread.
func newRing(t *testing.T, n int) *Ring {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(n)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		t.Skipf("no io_uring as of Linux 6.6 for this process: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// reap submits and returns n completions by their user data.
func reap(t *testing.T, r *Ring, n int) map[uint64]int32 {
	t.Helper()
	all := map[uint64]int32{}
	for len(all) < n {
		if err := r.Enter(1); err != nil {
			t.Fatal(err)
		}
		for c, ok := r.Completion(); ok; c, ok = r.Completion() {
			all[c.UserData] = c.Result
		}
	}
	return all
}

func TestStructsAreTheKernels(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(Entry{}); got != entrySize {
		t.Errorf("an entry has %d bytes", got)
	}
	if got := unsafe.Offsetof(Entry{}.Command); got != 48 {
		t.Errorf("the command is at %d", got)
	}
	if got := unsafe.Sizeof(Completion{}); got != completionSize {
		t.Errorf("a completion has %d bytes", got)
	}
	if got := unsafe.Sizeof(params{}); got != 120 {
		t.Errorf("the parameters have %d bytes", got)
	}
}

func TestOperationsComplete(t *testing.T) {
	r := newRing(t, 4)
	for round := range uint64(10) { // more than the ring has places
		for i := range uint64(3) {
			r.Entry().UserData = 10*round + i
		}
		got := reap(t, r, 3)
		for i := range uint64(3) {
			if res, ok := got[10*round+i]; !ok || res != 0 {
				t.Errorf("round %d: %v", round, got)
			}
		}
	}
	if _, ok := r.Completion(); ok {
		t.Error("one completion too many")
	}
}

func TestMoreThanThereIsRoomForIsAFault(t *testing.T) {
	r := newRing(t, 2)
	r.Entry()
	r.Entry()
	defer func() {
		if recover() == nil {
			t.Error("a third entry of two")
		}
	}()
	r.Entry()
}

func TestEmptySlotsCannotBeReadInto(t *testing.T) {
	r := newRing(t, 4)
	if err := r.ReserveBuffers(1); err != nil {
		t.Fatal(err)
	}
	f := file(t, 100)
	for slot, want := range []unix.Errno{unix.EFAULT, unix.EFAULT} { // empty, and outside of the table
		e := r.Entry()
		e.Op, e.FD, e.Len, e.Buffer, e.UserData = OpReadFixed, int32(f.Fd()), 100, uint16(slot), uint64(slot)
		if got := unix.Errno(-reap(t, r, 1)[uint64(slot)]); got != want {
			t.Errorf("slot %d: %v, want %v", slot, got, want)
		}
	}
	if err := r.ReserveBuffers(1); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second table: %v, want EBUSY", err)
	}
}

// A read that fails cancels what is linked to it, and success is not
// reported where that was asked for.
func TestLinks(t *testing.T) {
	r := newRing(t, 4)
	link := func(op uint8) map[uint64]int32 {
		e := r.Entry()
		e.Op, e.FD, e.Len, e.Flags, e.UserData = op, -1, 100, Link|SkipSuccess, 1
		r.Entry().UserData = 2
		return reap(t, r, 1)
	}
	if got := link(OpNop); len(got) != 1 || got[2] != 0 {
		t.Errorf("after a success: %v, want that of the second alone", got)
	}
	// No descriptor and no buffer: kernels differ in what they look at first.
	if got := link(OpReadFixed); got[1] != -int32(unix.EBADF) && got[1] != -int32(unix.EFAULT) {
		t.Errorf("after a failure: %v, want EBADF or EFAULT of the first", got)
	} else if res, ok := got[2]; ok && res != -int32(unix.ECANCELED) {
		t.Errorf("after a failure the second ended with %d", res)
	}
}

// file returns a file of size bytes.
func file(t *testing.T, size int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
