package run

import (
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/patch"
)

// applied is what a report says of the patches in a tree.
func applied(patches []patch.Applied) []verdict.Patch {
	var all []verdict.Patch
	for _, p := range patches {
		all = append(all, verdict.Patch{Name: p.Name, Subject: p.Subject, Digest: p.Digest})
	}
	return all
}
