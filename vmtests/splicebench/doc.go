// Package splicebench tests and measures what a kernel with rsplice(2) must do
// as well as one without: pipes, splice(2) and, above all, writing by splice(2),
// on which rsplice(2) is modelled. runvm ab compares the two kernels.
//
// A write brings data through a pipe to a file:
//
//	from  cache        pages of another file's page cache, by splice(2)
//	      user         memory of the process, by vmsplice(2)
//	to    tmpfs        a file in tmpfs
//	      ext4         a file of an ext4 file system on a virtio disk, through its page cache
//	      odirect      the same, opened with O_DIRECT
//	via   file         the file itself
//	      fuse         a file of a FUSE mount, whose server brings the data from the device to
//	                   the file by splice(2) in its turn
//	      fuse-direct  the same, opened with O_DIRECT by the process
//
// Figures are as in package readbench, but that the Go runtimes' monitors count.
// The disk is optional (runvm test -disk 64): a loop device replaces it, whose
// driver copies what a disk would transfer.
package splicebench
