// Package patch reads patch series and applies them to kernel trees. A patch
// is a stranger's text: its size, its paths and the links it makes are
// checked before git sees it, it is applied in an index of its own, never in
// a work tree, and what git made of it is compared with what was read.
package patch

import (
	"errors"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/runvm/runvm/kernel/patch/mail"
)

// The bounds of what Load accepts.
const (
	MaxPatches  = 512          // patches in one call; the longest series of the lists have some 200
	MaxMailSize = mail.MaxSize // bytes of one patch

	maxBinary   = 16 << 20 // bytes of one binary file in a patch; firmware and logos are smaller
	maxBinaries = 64 << 20 // bytes of all binary files in a patch
)

// A Series is what one -patches flag names.
type Series struct {
	Path    string // as the user wrote it
	Patches []Patch

	Title      string   // of its cover letter, else of its first patch
	Version    int      // from 1
	Total      int      // patches it says it has, 0 where it does not number them
	Missing    []int    // numbers that were not found; Load refuses a series with some
	BaseCommit string   // commit the series says it was made on, "" when it does not
	Needs      []string // ids (git patch-id --stable) of patches it says it needs below it
	Trailers   []Trailer
	Notes      []string // what the user should know of how it was read, a line each

	cover *mail.Mail
}

// HasCover says whether a cover letter came with the series.
func (s *Series) HasCover() bool { return s.cover != nil }

// A Trailer was given to a series in an answer. It changes no tree.
type Trailer struct {
	Key    string // "Tested-by"
	Value  string // "Name <address>"
	From   string // who sent the answer: "Name <address>"
	Number int    // of the patch it was given to, 0 for all of the series
}

// A Patch is one change of a series.
type Patch struct {
	Name    string   // file name, or "<mbox>#<number from 1>"
	Subject string   // of the mail without "[PATCH 1/2]", "" when it has none
	Digest  string   // SHA-256 of the patch as it was read, in hex
	Files   []string // paths it touches, sorted
	Number  int      // in the series, from 1; 0 where it has no number

	raw   []byte // what git is given
	diffs []*gitdiff.File
	mail  mail.Mail
}

// From is the sender of the patch, "" for one that was not sent.
func (p *Patch) From() string { return p.mail.From }

// An Applied is a patch that is in the tree Apply returned.
type Applied struct {
	Series  string   `json:"series"` // Series.Path
	Name    string   `json:"name"`
	Subject string   `json:"subject,omitempty"`
	Digest  string   `json:"digest"`
	Files   []string `json:"files"`
	Tree    string   `json:"tree"` // id of the tree with this patch and all before it
	// Offset is how many lines at most a hunk stands away from where the patch
	// has it, Fuzz how many lines at the edges of a hunk's context differ.
	Offset int `json:"offset,omitempty"`
	Fuzz   int `json:"fuzz,omitempty"`
}

// ErrRefused is a patch that is not handed to git, or whose effect is not
// what was read in it.
var ErrRefused = mail.ErrRefused

// errEmpty is a mail without a patch where one was wanted.
var errEmpty = errors.New("there is no diff in it, it changes nothing")
