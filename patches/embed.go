// Package patches holds the kernel series that belong to runvm, as git
// format-patch wrote them: rsplice(2) in a folder for each kernel release, and
// fixes for bugs that were met on the way, named after what they fix.
//
// A folder has the mails in order, beginning with the cover letter
// (0000-cover-letter.patch), and a text file SOURCE, which says which release the
// series was cut from and which others it is known to apply to.
package patches

import "embed"

// Series is the tree of all folders, so that a runvm without its repository has
// them too: linux-6.12/0001-….patch and so on. Names are slash-separated and
// relative to this package.
//
//go:embed */*.patch */SOURCE
var Series embed.FS
