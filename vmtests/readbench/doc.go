// Package readbench measures what each way to answer a FUSE READ costs: the
// same file read from start to end, with the FUSE file's cache empty, by every
// path of package fusesrv, for sizes of READs and for what the file lies on.
// The path "none" is the same file read without FUSE.
//
//	tmpfs    the file is in tmpfs
//	ext4     it is in the page cache of an ext4 file system
//	odirect  it is on that file system's disk, read with O_DIRECT: by the
//	         server, or by the reader where there is none
//
// The disk is a loop device on tmpfs: a thread of the kernel copies what a real
// one would transfer. That is in the figures called "all", for "none" as well.
//
// CPU time is that of processes' clocks. In a guest that runvm started with
// -deterministic, a clock advances by 32 ns with each instruction and by nothing
// else (QEMU's -icount shift=5), so a nanosecond of CPU time is 1/32 of an
// instruction, and figures are instructions: the same on every machine, to
// within where pages lie. The package finds out by itself whether clocks do so
// (see counts), and reports
//
//	app-instr/KiB   instructions of the reader, the kernel's on its behalf included
//	srv-instr/KiB   of the server, likewise
//	extra-instr/KiB of both, less what the reader needs when all is cached
//	all-instr/KiB   of the whole guest while the file is read, its idle time
//	                too: on a guest with one CPU, none but that of the disk
//
// or else app-ns/KiB and so on, and MiB/s. An instruction count is not a time:
// one instruction may copy a page (rep movsb). Calls/READ are system calls of
// the server, fetching the READ included; moved/MiB are pages that are gone from
// the file's own cache after 1 MiB was read.
package readbench
