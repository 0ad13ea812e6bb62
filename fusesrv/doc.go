// Package fusesrv is a FUSE server that answers READ in a way chosen by name.
//
// A read path is one way to bring the bytes of a file into the reader's page
// cache. Each is one file of this package and one row here:
//
//	path         how a READ is answered        copied by the CPU              page afterwards belongs to        calls  kernel, privilege
//	copy         pread, writev                 twice: to the server's memory  the reader's cache; the file's    2      any
//	                                           and to the reader's page       cache keeps its own
//	splice       write, splice, splice         once: from the file's page to  as above                          3      2.6.35
//	             (header, file, pipe)          the reader's
//	splice-move  the same, SPLICE_F_MOVE       not, if the kernel can take    the reader's cache; it is gone    3      2.6.35
//	                                           the page; else once            from the file's if it was moved
//
// Calls are system calls per READ, without the read(2) that fetched the
// request from the device; splice and splice-move need 3 more for a READ that
// the file answers with fewer bytes. No path needs a privilege of its own,
// but pipes for READs above 512 KiB exceed what an unprivileged user may
// have by default.
//
// Everything but READ and INTERRUPT is answered by go-fuse's ProtocolServer.
// The device descriptor is opened, mounted and cloned here, one clone a
// worker, so that a path can use it for more than read and write. FUSE
// passthrough, which go-fuse switches on by itself where it can, is never
// negotiated: with it the kernel would answer READs alone, and every
// measurement of a path would be one of something else.
//
// What is served is a Tree: Loopback, a directory of this machine to read and
// write, or Generated, read-only files whose bytes come from an io.ReaderAt
// (package pattern makes some).
//
// Mount needs CAP_SYS_ADMIN in the namespace that owns the mount point. A
// path that the kernel or the tree lacks is refused by name; no path is ever
// replaced by another one, and Stats tells which one did the work.
//
// A process must not touch a mapping of a file that it serves itself: the
// goroutine that faults holds its processor and stops the garbage collector,
// so that the answer to its READ may never be computed. Serve and map in two
// processes.
package fusesrv
