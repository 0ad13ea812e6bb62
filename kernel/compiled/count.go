package compiled

import (
	"path"
	"strings"
)

// The bound of a tree's folders with makefiles; Linux 6.12 has 3000.
const maxFolders = 20000

// Objects is about how many objects and archives kbuild makes of the tree in
// this configuration. What makefiles say in ways that are not understood here,
// and what is not an object of the kernel proper, is not counted.
func (t *Tree) Objects() int {
	w := &walk{tree: t, files: map[string]makefile{}}
	seen := map[string]bool{}
	todo := []string{"."}
	n := 0
	for len(todo) > 0 && len(seen) < maxFolders {
		dir := todo[0]
		todo = todo[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		wanted := w.wanted(dir)
		n += 1 + len(wanted.objects) // and an archive of them
		for _, below := range wanted.folders {
			todo = append(todo, path.Join(dir, below))
		}
	}
	return n
}

// wanted is what the makefile of a folder asks for.
type wanted struct {
	objects map[string]bool
	folders []string
}

// wanted returns what kbuild makes of dir.
func (w *walk) wanted(dir string) wanted {
	all := wanted{objects: map[string]bool{}}
	file := w.makefile(dir)
	parts := map[string][]rule{} // of composite objects
	for _, r := range file {
		if r.list != "obj" && r.list != "lib" {
			parts[r.list+".o"] = append(parts[r.list+".o"], r)
		}
	}
	for _, r := range file {
		if r.list == "obj" || r.list == "lib" {
			w.add(&all, r, parts, 0)
		}
	}
	return all
}

// add adds what r asks for, when its conditions hold.
func (w *walk) add(all *wanted, r rule, parts map[string][]rule, depth int) {
	if depth > maxNested || len(w.tree.unmet(r.conds)) > 0 {
		return
	}
	for _, name := range r.wants {
		name = strings.ReplaceAll(name, "$(SRCARCH)", arch)
		switch {
		case strings.HasSuffix(name, "/"):
			all.folders = append(all.folders, name)
		case strings.HasSuffix(name, ".o") && !all.objects[name]:
			all.objects[name] = true
			for _, part := range parts[name] {
				w.add(all, part, parts, depth+1)
			}
		}
	}
}
