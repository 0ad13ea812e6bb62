// Package fuseread tests how the kernel reads a FUSE file into its page
// cache: the right bytes whatever the order, no request where the cache has
// them, and an error instead of a hang or of wrong bytes where the server is
// slow, wrong or gone.
//
// Every test runs on every read path of package fusesrv, over files of tmpfs
// and, where the path can, over contents made in memory. The server is a
// process of its own, the test binary run again, for three reasons: a test
// can kill it, it can be held up without holding up the test, and a mapping
// of a file must not be touched by the process that serves it.
package fuseread
