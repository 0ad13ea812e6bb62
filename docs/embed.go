// Package docs holds the manual pages of what runvm's series add to Linux, so that
// the tests of a kernel can be held against them.
package docs

import _ "embed" // for Rsplice

// Rsplice is the manual page rsplice(2), as roff.
//
//go:embed rsplice.2
var Rsplice string
