// Package piperesizehang shows that a writer to a full pipe does not notice
// that the pipe has been made larger.
package piperesizehang

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// patience is for what happens at once on a kernel that works.
const patience = 10 * time.Second

// TestWriterSeesLargerPipe has a writer wait for a full pipe, with a priority
// above all others, so that it runs as soon as it is woken, and makes the pipe
// larger.
func TestWriterSeesLargerPipe(t *testing.T) {
	guest.Need(t)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Write(p[1], make([]byte, size)); n != size {
		t.Fatalf("fill the pipe: %d, %v", n, err)
	}
	thread, written := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		if err == nil {
			_, err = unix.Write(p[1], []byte{1})
		}
		written <- err
	}()
	tid := <-thread
	asleep(t, tid)
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 2*size); err != nil {
		t.Fatalf("make the pipe larger: %v", err)
	}
	select {
	case err := <-written:
		if err != nil {
			t.Errorf("write: %v", err)
		}
	case <-time.After(patience):
		t.Errorf("a writer to a pipe with %d bytes of room sleeps for %v (in %s)", size, patience, where(tid))
		// To read would not wake it: the pipe is not full. Its other end's
		// closing does.
		unix.Close(p[0])
		<-written
	}
}

// asleep waits until a thread waits in pipe_write().
func asleep(t *testing.T, tid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.HasSuffix(where(tid), "pipe_write") {
			return
		}
	}
	t.Fatalf("the writer does not wait in pipe_write() but in %q", where(tid))
}

// where is the function of the kernel that a thread sleeps in.
func where(tid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", tid))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
