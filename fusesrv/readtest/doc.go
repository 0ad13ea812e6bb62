// Package readtest is what every read path of package fusesrv must do on the
// kernel that runs: the right bytes whatever reads them in whatever order, no
// request where the cache has them, and an error instead of a hang, of stale
// bytes or of uninitialised memory where the server is slow, wrong or gone.
//
// Cases is the table of claims. Run checks those that apply to a path, each
// over several trees: files of tmpfs, sockets, contents made in memory. Every
// case proves by the server's counters that its path did the work, without
// falling back to copying (but where falling back is the claim). Contents are
// checked against package pattern, and before each mount free memory is filled
// with poison, which shows up where the kernel gives out pages that it has not
// filled.
//
// The servers of these cases mean well, but for replies. What else the kernel
// must keep a server from, of those that fill pages themselves, is tested
// elsewhere: of rsplice(2) in vmtests/rsplice; and of io_uring-zc, whose kernel
// keeps it from little, in package fusesrv (TestZeroCopyLetsTheServer). That path
// and rsplice-direct are not held up between the fill of a file's READ and the
// reply, because one call does both; sockets hold that call up half-way.
//
// The server is a process of its own, for three reasons: a case can kill it,
// it can be held up without holding up the case, and a mapping of a file must
// not be touched by the process that serves it. A test binary that calls Run
// must therefore call Role in its TestMain.
package readtest
