// Package suites runs tests that others wrote for file systems, and one that makes
// up its own, over every read path of package fusesrv: READ is answered in each way,
// all the rest as go-fuse's loopback does.
//
//   - posixtest of go-fuse;
//   - fsx, random operations on one file, each compared with what a byte slice
//     says, in the manner of the program of that name. -short makes 1,000 of them,
//     else it is 100,000. A failure names its seed: FSX_SEED=n makes them again.
package suites
