package run

import (
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/patch"
)

// applied is what a report says of the patches in a tree. gaps, where they are
// known, are of the same patches.
func applied(patches []patch.Applied, gaps [][]verdict.Gap) []verdict.Patch {
	var all []verdict.Patch
	for i, p := range patches {
		said := verdict.Patch{Name: p.Name, Subject: p.Subject, Digest: p.Digest, Offset: p.Offset, Fuzz: p.Fuzz}
		if i < len(gaps) {
			said.NotCompiled = gaps[i]
		}
		all = append(all, said)
	}
	return all
}
