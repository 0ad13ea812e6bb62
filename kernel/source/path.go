package source

import (
	"fmt"
	"path"
	"strings"
)

// maxPath bounds the length of a path in a tree, in bytes.
const maxPath = 1024

// CheckPath returns an error unless name is a clean relative path that stays
// inside of a tree and that git would store as it is.
func CheckPath(name string) error {
	switch {
	case name == "" || name == "." || len(name) > maxPath:
		return fmt.Errorf("path %.60q: empty or longer than %d bytes", name, maxPath)
	case path.IsAbs(name), path.Clean(name) != name, name == "..", strings.HasPrefix(name, "../"):
		return fmt.Errorf("path %q leaves the tree", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("path %q holds a control character", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		// The file systems that fold case are why "git" does so here.
		if strings.EqualFold(part, ".git") {
			return fmt.Errorf("path %q is inside of a .git folder", name)
		}
	}
	return nil
}

// CheckLink returns an error when a symbolic link called name with this
// target would point out of the tree.
func CheckLink(name, target string) error {
	if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
		return fmt.Errorf("link %q has no usable target", name)
	}
	to := path.Join(path.Dir(name), target)
	if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return fmt.Errorf("link %q points out of the tree: %q", name, target)
	}
	return nil
}
