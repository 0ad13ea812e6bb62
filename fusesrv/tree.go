package fusesrv

import (
	"fmt"
	"os"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Tree is what a Server serves: Loopback or Generated. It serves one mount.
type Tree interface {
	// root returns the node of the mount's root directory.
	root(o *Options) (gofs.InodeEmbedder, error)
	// backing is the least that stands behind its files.
	backing() Backing
}

// openFlags returns what the reply to OPEN says about the page cache, and
// what the path needs.
func (o *Options) openFlags() uint32 {
	flags := o.path.openFlags
	if o.KeepCache {
		flags |= fuse.FOPEN_KEEP_CACHE
	}
	if o.DirectIO {
		flags |= fuse.FOPEN_DIRECT_IO
	}
	return flags
}

// mustBeDir checks that dir is a directory.
func mustBeDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a directory", dir)
	}
	return nil
}
