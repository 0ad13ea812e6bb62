//go:build !amd64

package vm

// rdtsc is 0 where the host has no counter that TCG shows to x86 guests.
func rdtsc() uint64 { return 0 }
