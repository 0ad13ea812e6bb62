// Package patch reads patch series and applies them to kernel trees. A patch
// is a stranger's text: its size, its paths and the links it makes are
// checked before git sees it, it is applied in an index of its own, never in
// a work tree, and what git made of it is compared with what was read.
package patch

import (
	"errors"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// The bounds of what Load accepts.
const (
	MaxPatches  = 512      // patches in one call
	MaxMailSize = 64 << 20 // bytes of one patch

	maxMbox   = 256 << 20 // bytes of one file
	maxBinary = 16 << 20  // bytes of one binary file in a patch
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

	raw   []byte // what git is given
	diffs []*gitdiff.File
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

// ErrRefused is a patch that is not handed to git, or whose effect is not
// what was read in it.
var ErrRefused = errors.New("refused")
