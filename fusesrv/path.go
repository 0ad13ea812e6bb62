package fusesrv

import (
	"errors"
	"fmt"
	"strings"
)

// A Path is one way to answer READ.
type Path struct {
	// Name is what Options.Path calls it.
	Name string
	// Needs is what the path takes bytes from; it serves trees that have at
	// least that.
	Needs Backing
	// InKernel says that the kernel answers READs alone: the server sees
	// none, and whatever is said about answers does not apply.
	InKernel bool
	// openFlags are those of the reply to OPEN that the path needs.
	openFlags uint32
	// fileFlags are those that a Loopback opens files with, beside the reader's.
	fileFlags int
	// initFlags are the capabilities of INIT without which the path cannot
	// be; the kernel must offer them all.
	initFlags uint64
	// ring, if not nil, has requests come by io_uring(7) in place of reads
	// of the device.
	ring *ringKind
	// open prepares one worker's answerer, on the worker's conn. It fails
	// with an error that names what is missing when the kernel lacks what the
	// path needs. Reads of that worker ask for at most maxRead bytes each.
	open func(c conn, maxRead int) (answerer, error)
	// probe, if not nil, finds out after INIT whether the path may be used
	// on the device dev.
	probe func(dev int) error
}

// Backing is what stands behind the files of a Tree.
type Backing int

// What can stand behind files. Each is more than the one before.
const (
	Memory      Backing = iota // an io.ReaderAt
	Descriptors                // anything that can be read: block devices, sockets, files
	Files                      // files that are opened for the reader, by name
)

// String returns what a tree lacks that has less.
func (b Backing) String() string {
	return [...]string{"memory", "descriptors", "files"}[b]
}

// An answerer answers the READs of one worker, one at a time.
type answerer interface {
	// answer replies to r, with an error number too if need be. Its error
	// says that the kernel did not take the reply, or, if it is errUnfit,
	// that nothing was sent because the path is not fit for this READ.
	answer(r *read) error
	// close frees what open acquired.
	close()
}

// errUnfit has a READ answered by copying, and counted as such.
var errUnfit = errors.New("the path is not fit for this read")

// Paths returns every path in the order of the package's table, those that
// this kernel lacks included.
func Paths() []Path {
	return []Path{
		copyPath(),
		splicePath(),
		spliceMovePath(),
		rsplicePipePath(),
		rspliceFillPath(),
		rspliceDirectPath(),
		passthroughPath(),
		ioUringPath(),
		ioUringZeroCopyPath(),
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

// fits tells what o or tree has that p cannot serve.
func (p *Path) fits(tree Tree, o *Options) error {
	if has := tree.backing(); has < p.Needs {
		return fmt.Errorf("read path %s: needs %v, and this tree has %v behind it", p.Name, p.Needs, has)
	}
	if o.SpliceWrites && (tree.backing() < Files || p.InKernel || p.ring != nil) {
		return fmt.Errorf("read path %s: WRITEs by splice(2) need a directory, and to come by the device", p.Name)
	}
	if p.InKernel && (o.DirectIO || o.DirectSource) {
		return fmt.Errorf("read path %s: it is for the reader to say whether the page cache is used", p.Name)
	}
	return nil
}

// offered tells whether the kernel offers what p needs, by the capabilities in
// its INIT.
func (p *Path) offered(flags uint64) error {
	if missing := p.initFlags &^ flags; missing != 0 {
		return fmt.Errorf("read path %s: the kernel does not offer %#x in INIT", p.Name, missing)
	}
	return nil
}
