package fusesrv

import "golang.org/x/sys/unix"

// spliceMovePath is splice with SPLICE_F_MOVE: the device may take a page out
// of the file's cache and put it into the reader's instead of copying it. The
// kernel does so for readahead of whole pages that nobody else uses and that
// are clean; it copies the others without a word, and those of tmpfs always.
// Which were moved shows in the file's cache alone (mincore(2)): they are gone
// from it.
func spliceMovePath() Path {
	return Path{Name: "splice-move", Needs: Descriptors, open: openSplicer(unix.SPLICE_F_MOVE)}
}
