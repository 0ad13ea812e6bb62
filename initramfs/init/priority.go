package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// outrank makes the kernel prefer PID 1 to whatever it runs. On a machine of
// one processor a program that announces a test then continues only after PID
// 1 has passed that on, so that the kernel log holds the mark of a test before
// the test executes its first line, which may be the machine's last.
//
// Threads that do not exist yet inherit the preference.
func outrank() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("outrank programs: %w", err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return fmt.Errorf("outrank programs: %w", err)
		}
		if err := schedule(tid, unix.SCHED_FIFO, 1); err != nil {
			return fmt.Errorf("outrank programs: %w", err)
		}
	}
	return nil
}

// timerSlack is what threads have that nobody has preferred, in nanoseconds:
// init_task in init/init_task.c.
const timerSlack = 50_000

// unranked calls f on a thread of its own without that preference: what f
// starts must not inherit it, nor that preferred threads, and those they make,
// have timers without slack (__setscheduler_params() in kernel/sched/syscalls.c).
func unranked(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_ = schedule(0, unix.SCHED_NORMAL, 0)
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0)
		f()
	}()
	<-done
}

func schedule(tid int, policy, priority uint32) error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}
	return unix.SchedSetAttr(tid, attr, 0)
}
