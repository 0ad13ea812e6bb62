// Package rsplice tests rsplice(2) as its manual describes it: what each form of
// the call does and refuses, and that a server can neither show a reader
// what was in memory before nor write there after the reader has gone on.
//
// The server is the test itself, speaking the FUSE protocol on the device: a
// test of the call must decide request by request what is claimed, filled and
// answered. Readers are processes of their own, the test binary run again: the
// last descriptor of the device must close when a test dies, or its readers
// would hang, and the test must be able to look at a reader that waits.
//
// All tests with a READ run twice: the page cache as its destination, and the
// reader's own memory (FOPEN_DIRECT_IO).
//
// TestErrors has a test for each row of ERRORS in the manual, TestServerCannot one
// for each thing that a server can do to its readers with FUSE over io_uring. Some
// tests need a kernel with what is in more.config. TestStress and TestFuzz are
// short unless told otherwise, TestNothingHasLeaked needs a kernel that looks for
// leaks:
//
//	runvm test -profile debug,vmtests/rsplice/more.config -cpus 2 \
//		-append kmemleak=on -append rsplice.stress=10m \
//		-append rsplice.fuzz=5000000 ...
//
// With kcsan.config data races are looked for, with module.config FUSE is a module:
//
//	runvm test -profile plain,vmtests/rsplice/kcsan.config -cpus 2 \
//		-allow vmtests/rsplice/kcsan.toml -append rsplice.stress=10m ...
//	runvm test -profile plain,vmtests/rsplice/module.config ...
//
// Folder mutations has kernels that must be caught, each by the test it names:
// make mutants.
//
// A kernel without the call skips them, by one sentence; one with the first patches
// of the series alone does if it is told that it may be one:
//
//	runvm test -each -append rsplice.part=1 ...
//
// One that was built to have it fails instead if it is told so, as make guest does:
//
//	runvm test -append rsplice.want=1 ...
package rsplice
