package readbench

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// instruction is how far an instruction advances a clock that counts them.
const instruction = 32 * time.Nanosecond

// cpuClock is the clock of the CPU time of a process, 0 for this one.
func cpuClock(pid int) int32 {
	const precise = 2 // CPUCLOCK_SCHED
	return int32(^pid)<<3 | precise
}

// now reads a clock.
func now(t testing.TB, clock int32) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		t.Fatalf("clock %d: %v", clock, err)
	}
	return time.Duration(ts.Nano())
}

// counts tells whether clocks count instructions. They are slow then: the few
// instructions of a call take longer than on any machine, however busy.
func counts(t testing.TB) bool {
	const tries, calls, least = 9, 2000, 2 * instruction
	quickest := time.Hour
	for range tries {
		begin := now(t, unix.CLOCK_MONOTONIC)
		for i := range calls {
			spin(i)
		}
		quickest = min(quickest, now(t, unix.CLOCK_MONOTONIC)-begin)
	}
	return quickest > calls*least
}

//go:noinline
func spin(int) {}
