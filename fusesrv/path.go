package fusesrv

import (
	"fmt"
	"strings"
)

// A Path is one way to answer READ.
type Path struct {
	// Name is what Options.Path calls it.
	Name string
	// NeedsFile says that bytes must come from a descriptor, not from memory:
	// the path cannot serve a Generated tree.
	NeedsFile bool
	// open prepares one worker's answerer. It fails with an error that
	// names what is missing when the kernel lacks what the path needs.
	// Reads of that worker ask for at most maxRead bytes each.
	open func(maxRead int) (answerer, error)
}

// An answerer answers the READs of one worker, one at a time.
type answerer interface {
	// answer replies to r, with an error number too if need be. Its error
	// says that the kernel did not take the reply.
	answer(r *read) error
	// close frees what open acquired.
	close()
}

// Paths returns every path in the order of the package's table, those that
// this kernel lacks included.
func Paths() []Path {
	return []Path{
		copyPath(),
		splicePath(),
		spliceMovePath(),
	}
}

// findPath returns the path called name.
func findPath(name string) (Path, error) {
	var known []string
	for _, p := range Paths() {
		if p.Name == name {
			return p, nil
		}
		known = append(known, p.Name)
	}
	return Path{}, fmt.Errorf("read path %q: unknown (known: %s)", name, strings.Join(known, ", "))
}
