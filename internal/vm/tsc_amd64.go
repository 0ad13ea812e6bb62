package vm

// rdtsc reads the host's time stamp counter, which TCG shows to its guests.
func rdtsc() uint64
