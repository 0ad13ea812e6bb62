// Package stolenpageeio shows that pages which the kernel took out of another
// file are thrown away and read again.
package stolenpageeio

import (
	"testing"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMovedPagesAreReadOnce reads a file whose server answers with SPLICE_F_MOVE.
func TestMovedPagesAreReadOnce(t *testing.T) {
	guest.Need(t)
	rawfuse.ReadMoved(t)
}
