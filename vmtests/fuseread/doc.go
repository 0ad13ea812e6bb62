// Package fuseread tests how the kernel reads FUSE files, once for each way in
// which a server can answer: see package fusesrv for those, and its package
// readtest for what is claimed of them.
package fuseread
