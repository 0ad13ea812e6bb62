// Package readbench measures what each way to answer a FUSE READ costs: the
// same file read as a whole, with the FUSE file's cache empty, by every path of
// package fusesrv. The path "none" is the same file read without FUSE. A
// benchmark's name says, beside the path,
//
//	size     of READs
//	backing  what the file lies on
//	         tmpfs    it is in tmpfs
//	         ext4     it is in the page cache of an ext4 file system on a virtio disk
//	         odirect  it is on that disk alone, which the server reads with O_DIRECT;
//	                  where the kernel answers, it comes into the file's own cache,
//	                  but for readers with O_DIRECT
//	access   how it is read
//	         seq      from start to end, 128 KiB at once
//	         random   a READ's size at once, in another order, POSIX_FADV_RANDOM
//	         mmap     a byte of each page of a mapping, from start to end
//	         direct   from start to end, a READ's size at once, opened with O_DIRECT,
//	                  to a huge page
//
// The figures are
//
//	app-instr/KiB     instructions of the reader, the kernel's on its behalf included
//	srv-instr/KiB     of the server, likewise
//	both-instr/KiB    of reader and server
//	extra-instr/KiB   of both, less what the reader needs when all is cached; not
//	                  for readers who have no cache
//	all-instr/KiB     of the whole guest while the file is read, its idle time too:
//	                  on a guest with one CPU, none but that of the disk; and what
//	                  the others leave out: the monitors of the Go runtimes of
//	                  reader and server, which wake by time (guest.Monitor)
//	copied-B/B        bytes that the CPU copied, in any process, for each byte that
//	                  was read: the last copy, to the reader, included
//	calls/READ        system calls of the server, fetching the READ included, as it
//	                  counts them, and as ptrace(2) does (CallsAreCounted of package
//	                  readtest): those of the Go runtime are left out
//	B/READ            bytes that a READ brought
//	evicted-pages/MiB pages gone from the file's own cache after 1 MiB was read
//	added-pages/MiB   pages that have come into it
//	held-pages/MiB    most pages in both files' caches at any time, of which some are
//	                  looked at
//
// or app-ns/KiB and so on, with MiB/s by the guest's clock, where clocks do not
// count instructions. Package counter tells how instructions and copies are
// counted and which kernel counts copies: on that one copied-B/B is all that is
// reported, for it copies in another way than those that people run. An
// instruction is not a time: one may copy a page, or a word.
//
// Where the instructions go, function by function, is logged in place of figures:
//
//	runvm test -deterministic -disk readbench.img -v -append readbench.profile=1 -run '^$' \
//		-bench Read/path=rsplice-direct/size=4KiB/backing=tmpfs/access=seq …
//
// What lies on a disk is in an image, which TestImage makes in any guest:
//
//	runvm test -share .:/image:rw -run TestImage …
//
// The guest only reads from its copy, and QEMU answers that at once, by io_uring, if
// the host has it in memory. So the same seed gives the same figures to the last digit,
// whatever else the host does, unless it pages out what was not read for a while: then
// those of the disk differ by some per cent. With another seed pages lie elsewhere, in
// more or fewer pieces, and timers go off elsewhere: most figures differ by 1 to 5 %.
// With readbench.turns=25 on the kernel's command line each file is read 25 times and
// not 3 at least.
//
// Where there is no io_uring, which runvm says, the disk takes as long as the host
// does, and the guest should not halt meanwhile (-append idle=poll): a clock that
// counts instructions leaps to the next timer then, and the Go runtime takes the P
// from a call that seems to take long. Figures of one seed differ by 1 to 5 % then.
package readbench
