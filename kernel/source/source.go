// Package source turns what a user calls a kernel into a git tree object in
// the cache: a Debian source package, a kernel.org release or a local tree.
// Nothing downstream knows, or needs to know, where a tree came from: its
// content is addressed by the tree's id, and Checkout writes it where a build
// wants it.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// DefaultKernelOrg is where releases of kernel.org are fetched from.
const DefaultKernelOrg = "https://cdn.kernel.org/pub/linux/kernel"

// A Store keeps the sources that were fetched. Its methods may be called by
// several goroutines and several processes at once.
type Store struct {
	// Dir is the folder of the store, made when it is needed.
	Dir string
	// Sh runs git, xz and apt.
	Sh sh.Runner
	// Progress is told of downloads and imports; nil shows nothing.
	Progress progress.Sink
	// KernelOrg is the base address of the releases; "" is DefaultKernelOrg.
	KernelOrg string
	// KernelOrgKey is the armored public key that must have signed the sums
	// of the releases; "" is the key of kernel.org's checksum signer.
	KernelOrgKey string

	bin string // folder of apt's programs, "" for those in PATH
}

// A Tree is a kernel source as a git tree object.
type Tree struct {
	// Name is for people: "linux-source-6.12 6.12.117-1~deb12u1",
	// "linux 6.12.63 (kernel.org)", "/home/me/linux v6.12-3-gabc-dirty".
	Name string
	// Base is short and stable from one version of a source to the next, so
	// that it can name the folder of an incremental build: "debian-6.12".
	Base string
	// Version is what the tree's Makefile says: "6.12.117", "7.3.0-rc1".
	Version string
	// GitDir is the repository that holds the tree.
	GitDir string
	// ID is the tree object's id: the key of the content.
	ID string
	// Dirty says that a local tree has uncommitted changes.
	Dirty bool
	// Digest is the SHA-256 of what was downloaded, "" for a local tree.
	Digest string
	// Fetched is when the content was imported.
	Fetched time.Time
	// Note, when not empty, is a sentence the report should carry, such as
	// that the network was out of reach and the cached version is used.
	Note string
}

var (
	// ErrUnknown is a specification that names no source.
	ErrUnknown = errors.New("unknown kernel source")
	// ErrNetwork is a source that could not be reached and is not cached.
	ErrNetwork = errors.New("no network")
	// ErrUntrusted is a download whose signature or checksum is wrong.
	ErrUntrusted = errors.New("not what was signed")
	// ErrNotKernel is a folder or archive that holds no kernel source.
	ErrNotKernel = errors.New("not a kernel tree")
	// ErrDiskFull is a cache with no room left.
	ErrDiskFull = errors.New("disk full")
)

// Get returns the tree that spec names, fetching it when the cache lacks it:
//
//	6.12           Debian's linux-source-6.12, else the newest 6.12.y of kernel.org
//	6.12.63, v6.12 that release of kernel.org
//	./linux, /x/y  a local tree, with its uncommitted changes
//
// The error is one line and wraps one of this package's sentinels where one
// applies.
func (s *Store) Get(ctx context.Context, name string) (*Tree, error) {
	want, err := parseSpec(name)
	if err != nil {
		return nil, err
	}
	var tree *Tree
	switch {
	case want.path != "":
		tree, err = s.local(ctx, want.path)
	case want.release != "":
		tree, err = s.release(ctx, want.release)
	default:
		tree, err = s.series(ctx, want.series)
	}
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	return tree, nil
}
