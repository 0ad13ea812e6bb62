// Package stolenpageeio shows that reads of pages which the kernel took out of
// another file fail with EIO.
package stolenpageeio

import (
	"testing"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMovedPagesCanBeRead reads a file whose server answers with SPLICE_F_MOVE.
func TestMovedPagesCanBeRead(t *testing.T) {
	guest.Need(t)
	rawfuse.ReadMoved(t)
}
