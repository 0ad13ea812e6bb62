// Package counter counts what a guest does, for benchmarks: CPU time, which is
// instructions where runvm's guest is deterministic, and the bytes that the CPU
// copies. A Profile says in which functions the time is spent.
//
// Copied bytes are counted by the kernel: copied.patch, which is for measuring
// alone, has each copy routine of x86-64 (memcpy, memmove, copy_page, those to
// and from user space) add the size that it is called with to one counter. On a
// CPU that has "fast short rep movsb" the kernel calls none of them, so the guest
// must not have that, which a deterministic one has not:
//
//	runvm test -deterministic -patches vmtests/counter/copied.patch …
//
// Left to itself the compiler copies in line what it knows to be small, up to
// 8 KiB: a page. Where the kernel moves file data (lib/iov_iter.c, fs/splice.c,
// fs/rsplice.c, mm/filemap.c, mm/shmem.c, fs/fuse) the patch forbids it, and
// NewCopied checks that it helped; so on that kernel instructions are others than
// on those that people run. Structures elsewhere are not counted, nor is what
// programs copy within themselves.
package counter
