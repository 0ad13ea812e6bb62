package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	calm = 10 * time.Millisecond // the longest that the monitor ever sleeps
	// usualSlack is the timer slack of threads: init_task in init/init_task.c.
	usualSlack = 50 * time.Microsecond
)

// Monitor is the thread of a Go process in which the runtime looks after the others
// (sysmon in runtime/proc.go): the first that the first one starts.
func Monitor(t testing.TB, pid int) int {
	t.Helper()
	threads := threadsOf(t, pid)
	if len(threads) < 2 {
		t.Fatalf("process %d has one thread: not a Go program", pid)
	}
	tid, err := strconv.Atoi(threads[1])
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// threadsOf are the threads of a process, as the kernel lists them: in the order in
// which they were made (next_tid() in fs/proc/base.c).
func threadsOf(t testing.TB, pid int) []string {
	t.Helper()
	tasks, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tasks.Close() }()
	threads, err := tasks.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return threads
}

// CalmMonitor has this process's monitor wake with other timers, and each 10 ms,
// until the test ends. It would wake each 20 µs while system calls take longer than
// that: on a debug kernel without KVM half of the time goes there. In return a
// goroutine may wait 10 ms for the P of one that is in a call.
func CalmMonitor(t testing.TB) {
	t.Helper()
	setSlack(t, strconv.Itoa(Monitor(t, os.Getpid())), calm)
	t.Cleanup(func() {
		for _, tid := range threadsOf(t, os.Getpid()) { // the monitor's own have it from it
			setSlack(t, tid, usualSlack)
		}
	})
}

// setSlack sets how much later than asked for a thread may wake (`man 5
// proc_pid_timerslack_ns`). A thread that has ended needs none.
func setSlack(t testing.TB, tid string, d time.Duration) {
	t.Helper()
	err := os.WriteFile("/proc/"+tid+"/timerslack_ns", strconv.AppendInt(nil, d.Nanoseconds(), 10), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
}
