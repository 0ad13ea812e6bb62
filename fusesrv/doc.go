// Package fusesrv is a FUSE server that answers READ in a way chosen by name.
//
// A read path is one way to bring the bytes of a file into the reader's page
// cache. Each is one file of this package and one row here:
//
//	path   how a READ is answered   copies in the server   page afterwards belongs to   calls per READ*   kernel   privilege
//	copy   pread, writev            file to memory,        the reader's cache only      2                 any      none
//	                                memory to page cache
//
//	* without the read(2) that fetched the request from the device
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
