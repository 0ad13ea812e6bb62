// Package fusesrv is a FUSE server that answers READ in a way chosen by name.
//
// A read path is one way to bring the bytes of a file to the reader. Each is
// one file of this package and one row here:
//
//	path           how a READ is answered      copied by the CPU             page afterwards belongs to     calls  kernel, privilege
//	copy           pread, writev               twice: to the server's        the reader's cache; the        3      any
//	                                           memory, to the reader's page  file's cache keeps its own
//	splice         write, splice, splice       once: from the file's page    as above                       4      2.6.35
//	               (header, file, pipe)        to the reader's
//	splice-move    the same, SPLICE_F_MOVE     not, if the kernel can take   the reader's cache; it is      4      2.6.35
//	                                           the page; else once           gone from the file's if it
//	                                                                         was moved
//	rsplice-pipe   rsplice, rsplice, write     once: from the file's page    the reader's cache, where it   4      with rsplice(2)
//	               (claim, fill, header)       to the reader's; not from a   was before; the file's cache
//	                                           file opened with O_DIRECT     keeps its own
//	rsplice-fill   rsplice, write              as above                      as above                       3      with rsplice(2)
//	               (claim and fill, header)
//	rsplice-direct rsplice                     as above                      as above                       2      with rsplice(2)
//	               (claim, fill and reply)
//	passthrough    by the kernel; the server   not                           the file's cache; there is no  0      6.9, CAP_SYS_ADMIN
//	               gave it the file at open                                  other
//	io_uring       pread, commit               twice, as copy                as copy                        2      6.14, fuse.enable_uring=1
//	io_uring-zc    read into a registered      once: from the file's page    as rsplice, but the server     1      7.3, fuse.enable_uring=1,
//	               buffer, commit (linked)     to the reader's; not from a   may write to it as long as            CAP_SYS_ADMIN
//	                                           file opened with O_DIRECT     it likes
//
// Copied is what happens before read(2) copies from the reader's cache to the
// reader, which is the same for all. A reader past the page cache
// (Options.DirectIO, O_DIRECT) gets the bytes where the table says page.
//
// Calls are system calls per READ, the read(2) that fetches the request from
// the device included; Stats counts them. A READ that the file answers with fewer
// bytes than its size has promised takes one more, since only a read of nothing
// tells that the file ends there; with splice and splice-move 4 more, as the header
// has to be replaced; with rsplice-direct, where the kernel does that, none. A call
// of the io_uring paths sends an answer and fetches the next request.
// Pipes for READs above 512 KiB, which the splice paths need, exceed what an
// unprivileged user may have by default; the rsplice paths put a READ of any
// size into one slot of a pipe.
//
// The kernel lets a server of io_uring-zc do what it does not allow one of
// rsplice: answer with pages that it has not filled, which shows a reader what
// was in memory before, and fill them after its answer or an abort, which
// changes what is cached, or the reader's memory. TestZeroCopyLetsTheServer has
// a case for each. A file's pages that are written come the same way, and go
// through a file in memory to go-fuse.
//
// Everything but READ and INTERRUPT, and WRITE with Options.SpliceWrites, is answered
// by go-fuse's ProtocolServer. The device descriptor is opened, mounted and cloned
// here, one clone a worker, so that a path can use it for more than read and write.
// On the io_uring paths each worker has a thread and a ring of its own (package
// uring) in place of a clone, and there are Options.Workers of them for each CPU that
// the kernel may have, since it sends a request to the queue of the CPU that made it.
// What still comes by the device, FORGET and INTERRUPT, has a worker more; a READ that
// came there would be answered with an error.
//
// What is served is a Tree: Loopback, a directory of this machine to read and
// write, or Generated, read-only files whose bytes come from an io.ReaderAt
// (package pattern makes some), from a block device or from sockets.
//
// Mount needs CAP_SYS_ADMIN in the namespace that owns the mount point. A
// path that the kernel or the tree lacks is refused by name; no path is ever
// replaced by another one. Single READs may be unfit for the path of the mount:
// rsplice(2) says so (EOPNOTSUPP), or a file opened with O_DIRECT is not
// read in whole blocks. Those are answered by copying, and Stats.Fallbacks
// counts them.
//
// A process must not touch a mapping of a file that it serves itself: the
// goroutine that faults holds its processor and stops the garbage collector,
// so that the answer to its READ may never be computed. Serve and map in two
// processes.
package fusesrv
