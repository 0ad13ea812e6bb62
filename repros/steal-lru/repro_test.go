// Package steallru shows that a page which the kernel takes out of another
// file is put on the LRU lists twice.
package steallru

import (
	"testing"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMovedPagesAreOnTheListsOnce reads a file whose server answers with
// SPLICE_F_MOVE. The kernel checks the lists (check.patch, or CONFIG_DEBUG_VM).
func TestMovedPagesAreOnTheListsOnce(t *testing.T) {
	guest.Need(t)
	rawfuse.ReadMoved(t)
}
