// Package kernel turns a patched kernel tree into an image that QEMU boots.
//
// A Builder keeps images in a store whose key is everything that can change
// them: the content of the tree, the symbols wanted, the toolchain and make's
// flags. An image that is there is returned at once; another is built in the
// lane of its source, a folder of sources and objects that is kept, so that a
// change of one file compiles one file. Finished images appear in the store
// whole or not at all.
//
//	<cache>/image/<key>/   vmlinux bzImage config System.map build.log meta.json
//	<cache>/lane/<base>/   src, and obj-<profile> for each profile built
//	<cache>/lock/          one lock a key, one a lane
package kernel

import (
	"context"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// A Builder builds images and keeps them. Its methods may be called by several
// goroutines and several processes at once.
type Builder struct {
	// Cache is the folder that holds the store, made when it is needed.
	Cache string
	// Sh runs make and the compilers.
	Sh sh.Runner
	// Progress is told of waits and of the build; nil shows nothing.
	Progress progress.Sink
}

// Build returns the image that req asks for, building it when the store lacks
// it. Errors of the configuration are a *ConfigError, of the compiler a
// *BuildError; *KilledError, *DiskFullError and *MissingTool are this
// machine's. When ctx ends the lane stays usable and the store as it was.
func (b *Builder) Build(ctx context.Context, req Request) (*Image, error) {
	panic("outline")
}

// Ready returns the image in the file path, a vmlinux or a bzImage that
// somebody else built.
func (b *Builder) Ready(path string) (*Image, error) {
	panic("outline")
}

// List returns the images and lanes of the cache, the longest unused first.
func (b *Builder) List() ([]Entry, error) {
	panic("outline")
}

// GC removes what has not been used for keep before now, and whatever an
// interrupted build left in the store. It returns what was removed.
func (b *Builder) GC(keep time.Duration, now time.Time) ([]Entry, error) {
	panic("outline")
}
