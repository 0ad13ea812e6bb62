package vm

import "time"

// tscTime is how long tscKHz measures. A reading is good to less than 1 us,
// so this gives the frequency to better than 0.1 %.
const tscTime = 2 * time.Millisecond

// A reading is the time stamp counter at a moment.
type reading struct {
	tsc uint64
	at  time.Time
}

// readTSC takes the reading, of several, between whose two looks at the clock
// the least time passed: a busy host interrupts some of them.
func readTSC() reading {
	var best reading
	least := time.Duration(1<<63 - 1)
	for range 16 {
		before := time.Now()
		tsc := rdtsc()
		if d := time.Since(before); d < least {
			least, best = d, reading{tsc, before.Add(d / 2)}
		}
	}
	return best
}

// tscKHz measures the frequency of the time stamp counter in kHz; 0 is none.
// A guest that must measure it itself fails on a loaded host, where it is not
// run while its timers are: its clock is then wrong, or hangs.
func tscKHz() int64 {
	first := readTSC()
	time.Sleep(tscTime)
	last := readTSC()
	return int64(float64(last.tsc-first.tsc) / last.at.Sub(first.at).Seconds() / 1e3)
}
