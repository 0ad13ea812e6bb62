// Package suites runs tests that others wrote for file systems, and one that makes
// up its own, over every read path of package fusesrv: READ is answered in each way,
// all the rest as go-fuse's loopback does. Each suite also runs in a plain directory,
// without a server, which tells a fault of the server from one of the suite.
//
//	TestPosix             posixtest of go-fuse
//	TestSyscalls          test_syscalls of libfuse, twice: the second time with files
//	                      whose names are gone
//	TestFio               fio: files are written by several of its engines, in order and
//	                      at random, directly and not, and verified as they are written
//	                      and once more when they have left the cache
//	TestStress            stress-ng: sendfile, readahead, mmap; splice, which uses no
//	                      files, in the plain directory alone. The cache is emptied
//	                      meanwhile. Sendfile looks neither at data nor at errors:
//	                      TestFsx does
//	TestSpliceSelftests   the kernel's tools/testing/selftests/splice, its scripts in the
//	                      plain directory alone
//	TestFsx               random operations on one file, each compared with what a byte
//	                      slice says, in the manner of the program of that name: 100,000
//	                      of them, 1,000 with -short. The log names its seed:
//	                      -append suites.seed=n makes them again
//
// The programs come from the host: make suites compiles and installs them, and puts
// them into the guest (runvm test -with). Where they are missing the tests fail, but
// with -short, with which they are skipped.
//
// What is expected to fail is listed in expected_test.go, with the reason. Such a case
// is skipped when it fails, and fails when it passes.
package suites
