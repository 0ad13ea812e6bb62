// Package counter counts what a guest does, for benchmarks: CPU time, which is
// instructions where runvm's guest is deterministic, and the bytes that the CPU
// copies.
//
// Copied bytes are counted by the kernel: probes (kprobes) at its copy routines
// sum up the sizes that they are called with, in histograms of tracefs. This
// needs a kernel that can probe and whose memcpy can be probed, and a CPU on
// which these routines are called and not replaced by one instruction:
//
//	runvm test -deterministic -profile plain,trace -patches vmtests/counter/memcpy.patch …
//
// What the compiler copies in line, structures of a size that it knows, is not
// counted; nor is what programs copy within themselves.
package counter
