package counter

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Instruction is how far an instruction advances a clock that counts them:
// QEMU's -icount shift=2, as runvm's deterministic guests have it.
const Instruction = 4 * time.Nanosecond

// CPU is the CPU time that a process has used, 0 for this one.
func CPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	const precise = 2 // CPUCLOCK_SCHED
	return now(t, int32(^pid)<<3|precise)
}

// Elapsed is the time since the guest was booted.
func Elapsed(t testing.TB) time.Duration {
	t.Helper()
	return now(t, unix.CLOCK_MONOTONIC)
}

func now(t testing.TB, clock int32) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		t.Fatalf("clock %d: %v", clock, err)
	}
	return time.Duration(ts.Nano())
}

// Instructions tells whether clocks count instructions: the same few take the same
// time again and again, and longer than anywhere else.
func Instructions(t testing.TB) bool {
	t.Helper()
	const tries, calls, least, equal = 32, 20_000, 6 * Instruction, 4
	took := make(map[time.Duration]int)
	for range tries {
		begin := Elapsed(t)
		for i := range calls {
			spin(i)
		}
		d := Elapsed(t) - begin
		if took[d]++; took[d] == equal { // the others were interrupted
			return d > calls*least
		}
	}
	return false
}

//go:noinline
func spin(int) {}

// A Cost reports CPU time for each KiB of a benchmark's data, in the unit that
// the clock is in: instr/KiB or ns/KiB.
type Cost struct {
	unit string
	per  float64
}

// NewCost finds the unit for data of so many bytes.
func NewCost(b *testing.B, size int) Cost {
	b.Helper()
	c := Cost{"ns/KiB", float64(time.Nanosecond)}
	if Instructions(b) {
		c = Cost{"instr/KiB", float64(Instruction)}
	}
	c.per *= float64(size) / 1024
	return c
}

// Counts says that it is instructions.
func (c Cost) Counts() bool { return c.unit == "instr/KiB" }

// Report reports d as what.
func (c Cost) Report(b *testing.B, what string, d time.Duration) {
	b.Helper()
	b.ReportMetric(float64(d)/c.per, what+c.unit)
}

// Directions are lines for the output of benchmarks that tell which figures are
// the better the smaller they are: those named, and what is copied.
func Directions(what ...string) string {
	var all string
	for _, w := range what {
		for _, unit := range []string{"instr/KiB", "ns/KiB"} {
			all += "Unit " + w + unit + " better=lower\n"
		}
	}
	return all + "Unit copied-B/B better=lower\n"
}
