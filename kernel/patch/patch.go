// Package patch reads patch series and applies them to kernel trees. A patch
// is a stranger's text: its size, its paths and the links it makes are
// checked before git sees it, and it is applied in an index of its own, never
// in a work tree.
package patch

import (
	"context"
	"errors"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// The bounds of what Load accepts.
const (
	MaxPatches  = 512      // patches in one call
	MaxMailSize = 64 << 20 // bytes of one patch
)

// A Series is what one -patches flag names.
type Series struct {
	Path    string // as the user wrote it
	Patches []Patch
}

// A Patch is one change of a series.
type Patch struct {
	Name    string   // file name, or "<mbox>#<number from 1>"
	Subject string   // of the mail without "[PATCH 1/2]", "" when it has none
	Digest  string   // SHA-256 of the patch as it was read, in hex
	Files   []string // paths it touches, sorted
	raw     []byte
}

// An Applied is a patch that is in the tree Apply returned.
type Applied struct {
	Series  string   `json:"series"` // Series.Path
	Name    string   `json:"name"`
	Subject string   `json:"subject,omitempty"`
	Digest  string   `json:"digest"`
	Files   []string `json:"files"`
	Tree    string   `json:"tree"` // id of the tree with this patch and all before it
}

// ErrRefused is a patch that runvm does not hand to git.
var ErrRefused = errors.New("refused")

// An ApplyError is a patch that does not fit the tree. Error() is one line:
// "apply 0003-x.patch: hunk 2 of fs/splice.c does not apply (line 1234)".
type ApplyError struct {
	Patch  string // Patch.Name
	File   string // the file that does not fit, "" when git named none
	Hunk   int    // number of the hunk in File from 1, 0 when unknown
	Line   int    // line of File at which the hunk was meant to apply, 0 when unknown
	Reason string // what git says when File or Hunk is unknown
}

// Error names patch, hunk and file.
func (e *ApplyError) Error() string { return e.Reason }

// Load reads the series at each path: a folder of *.patch files (in the order
// of their names, without the cover letter), one patch, or an mbox.
func Load(paths []string) ([]Series, error) { return nil, ErrRefused }

// Apply returns tree with every patch of series applied in order, and what
// was applied. The result has tree's Base and GitDir and a new ID. tree
// itself stays usable whatever happens. A patch that does not fit is an
// *ApplyError.
func Apply(ctx context.Context, run sh.Runner, tree *source.Tree, series []Series, sink progress.Sink) (*source.Tree, []Applied, error) {
	return nil, nil, ErrRefused
}
