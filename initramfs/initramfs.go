// Package initramfs makes the root file system that a guest boots from:
// runvm's PID 1, the programs to run and the plan; u-root's commands too
// where a shell is wanted. The same input gives the same bytes.
package initramfs

import (
	"context"
	"io/fs"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/wire"
)

// A Builder makes images. Its cache may be shared by several runvm at once.
type Builder struct {
	Cache    string
	Sh       sh.Runner
	Progress progress.Sink
}

// A File goes into an image. Exactly one of Source, Data and Link gives its
// contents; none makes a directory.
type File struct {
	Path   string      // in the guest, absolute
	Source string      // a file of the host
	Data   []byte      // contents
	Link   string      // target of a symbolic link
	Mode   fs.FileMode // permission bits; 0 is 0644, 0755 for directories and executable sources
}

// A Spec is what an image holds beside PID 1.
type Spec struct {
	Files []File
	Plan  wire.Plan
	// Commands adds u-root's commands, among them a shell at /bin/sh.
	Commands bool
}

// An Image is an initramfs in parts: newc archives that the kernel unpacks
// one after the other when they are concatenated in this order.
type Image struct {
	Parts []string // paths
	Size  int64    // bytes of all parts
}

// Build makes the image of spec. Parts that exist already are not written again.
func (b *Builder) Build(ctx context.Context, spec Spec) (*Image, error) { return nil, nil }

// A Program is a host's file prepared to run in the guest.
type Program struct {
	Path  string // where it lies in the guest
	Files []File // the program and the libraries it needs
	// Script says that it is a script, which needs Spec.Commands.
	Script bool
}

// NewProgram prepares the host's file source to run in the guest as path: a
// static binary, a dynamic one with its interpreter and libraries, or a
// script for sh or bash.
func NewProgram(source, path string) (*Program, error) { return nil, nil }
