package readtest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A Case is a claim about reading that every path must keep.
type Case struct {
	// Name is the claim.
	Name string
	run  func(t *testing.T, c config)
	// Trees are those that it is about.
	trees []string
	// asks says that it is about READs, which a path in the kernel has none
	// of.
	asks bool
}

// What files of a mount are made of.
const (
	files   = "files"   // files of tmpfs
	memory  = "memory"  // an io.ReaderAt
	sockets = "sockets" // a socket for each READ
)

// zeroCopy is the path that has no moment between the fill of a file's READ and
// the reply, and whose kernel lets the server do what it likes with the pages.
const zeroCopy = "io_uring-zc"

// Run checks every case that applies to p, each as a subtest named
// tree/case; with -short only those of Brief, on files. It skips the test on
// kernels that are too old for p.
func Run(t *testing.T, p fusesrv.Path) {
	t.Helper()
	Need(t, p)
	trees, cases := everywhere(), Cases()
	if testing.Short() {
		trees, cases = onFiles(), Brief()
	}
	for _, tree := range trees {
		if !serves(p, tree) {
			continue
		}
		t.Run(tree, func(t *testing.T) {
			for _, c := range cases {
				if c.applies(p, tree) {
					t.Run(c.Name, func(t *testing.T) { c.run(t, newConfig(t, p, tree)) })
				}
			}
		})
	}
}

// Need skips the test where p cannot be, and readies the kernel for it.
func Need(t testing.TB, p fusesrv.Path) {
	t.Helper()
	guest.Need(t)
	if p.InKernel {
		guest.Since(t, guest.Release{Major: 6, Minor: 9}, "FUSE passthrough")
	}
	if onRing(p.Name) {
		guest.Since(t, ringSince(p.Name), "read path "+p.Name)
		allowRings(t)
	}
	if strings.HasPrefix(p.Name, "rsplice-") && !rsplice.Supported() {
		guest.Lacks(t, "rsplice.want", "rsplice(2)")
	}
}

// onRing tells whether READs of a path come by io_uring.
func onRing(path string) bool { return strings.HasPrefix(path, "io_uring") }

// ringSince is the first kernel with such a path.
func ringSince(path string) guest.Release {
	if path == zeroCopy {
		return guest.Release{Major: 7, Minor: 3}
	}
	return guest.Release{Major: 6, Minor: 14}
}

// allowRings switches FUSE over io_uring on, which is off after boot.
func allowRings(t testing.TB) {
	t.Helper()
	if err := os.WriteFile("/sys/module/fuse/parameters/enable_uring", []byte("1"), 0); err != nil {
		t.Fatalf("allow FUSE over io_uring: %v", err)
	}
}

// serves tells whether p is tested over tree. Memory has one path: for others
// sockets are what files are to tmpfs.
func serves(p fusesrv.Path, tree string) bool {
	switch tree {
	case memory:
		return p.Needs == fusesrv.Memory
	case sockets:
		return p.Needs <= fusesrv.Descriptors
	}
	return true
}

func (c *Case) applies(p fusesrv.Path, tree string) bool {
	return slices.Contains(c.trees, tree) && !(c.asks && p.InKernel)
}

// newConfig is the usual mount of p over tree.
func newConfig(t *testing.T, p fusesrv.Path, tree string) config {
	c := config{Path: p.Name, Valid: long, inKernel: p.InKernel}
	switch tree {
	case files:
		c.Loopback = t.TempDir()
	case sockets:
		c.Sockets = true
	}
	return c
}

// Cases returns the table.
func Cases() []Case {
	return slices.Concat(byteCases(), readerCases(), cacheCases(), sizeCases(), sourceCases(),
		tuningCases(), raceCases(), faultCases(), replyCases())
}

// Brief returns the part of the table that takes seconds: the bytes, the
// readers, the cache and the replies, without sizes, sources, tuning, races
// and faults.
func Brief() []Case {
	return slices.Concat(byteCases(), readerCases(), cacheCases(), replyCases())
}

// about makes cases that are about these trees.
func about(trees []string, asks bool, cases map[string]func(t *testing.T, c config)) []Case {
	var all []Case
	for name, run := range cases {
		all = append(all, Case{Name: name, run: run, trees: trees, asks: asks})
	}
	slices.SortFunc(all, func(a, b Case) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// everywhere and onFiles are the two kinds of cases.
func everywhere() []string { return []string{files, memory, sockets} }

func onFiles() []string { return []string{files} }
