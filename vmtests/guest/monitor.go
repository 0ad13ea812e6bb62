package guest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	calm = 10 * time.Millisecond // the longest that the monitor ever sleeps
	// defaultSlack is the timer slack of threads: `man 2 PR_SET_TIMERSLACK`.
	defaultSlack = 50 * time.Microsecond
)

// Monitor is the thread of a Go process in which the runtime looks after the others
// (sysmon in runtime/proc.go): the first that the first one starts.
func Monitor(t testing.TB, pid int) int {
	t.Helper()
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(tasks)
	if err != nil {
		t.Fatal(err)
	}
	var threads []int
	for _, e := range entries {
		tid, _ := strconv.Atoi(e.Name())
		threads = append(threads, tid)
	}
	slices.Sort(threads)
	if len(threads) < 2 {
		t.Fatalf("%s: one thread: not a Go program", tasks)
	}
	return threads[1]
}

// CalmMonitor has this process's monitor wake with other timers, and each 10 ms,
// until the test ends, where it would wake each 20 µs as long as system calls take
// longer than that: on a debug kernel without KVM half of the time goes there. Who
// waits in a call keeps its P for as long.
func CalmMonitor(t testing.TB) {
	t.Helper()
	file := fmt.Sprintf("/proc/%d/timerslack_ns", Monitor(t, os.Getpid()))
	set := func(d time.Duration) {
		if err := os.WriteFile(file, strconv.AppendInt(nil, d.Nanoseconds(), 10), 0); err != nil {
			t.Fatal(err)
		}
	}
	set(calm)
	t.Cleanup(func() { set(defaultSlack) })
}
