// Package initramfs makes the root file system that a guest boots from:
// runvm's PID 1, the programs to run and the plan; u-root's commands too
// where a shell is wanted. The same input gives the same bytes.
//
// An image is made of parts, newc archives that the kernel unpacks one after
// the other. They lie in the cache under the digest of what is in them, so
// that a run writes only what differs from an earlier one.
package initramfs

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/wire"
)

// MaxSize bounds an image, in bytes.
const MaxSize = 1 << 30

// A Builder makes images. Its cache may be shared by several runvm at once.
type Builder struct {
	Cache    string // directory for the parts of images
	Sh       sh.Runner
	Progress progress.Sink // nil shows nothing
}

// A File goes into an image. At most one of Source, Data and Link gives its
// contents; none makes a directory.
type File struct {
	Path   string      // in the guest, absolute
	Source string      // a regular file of the host
	Data   []byte      // contents, not nil
	Link   string      // target of a symbolic link
	Mode   fs.FileMode // permission bits; 0 is 0644, 0755 for directories and executable sources
}

// A Spec is what an image holds beside PID 1.
type Spec struct {
	Files []File
	Plan  wire.Plan // Version is filled in when 0
	// Commands adds u-root's commands, among them a shell at /bin/sh and
	// /bin/bash. The first time this takes half a minute.
	Commands bool
}

// An Image is an initramfs in parts, paths in the cache, to be concatenated in
// this order: Base, Run.
type Image struct {
	Base []string // PID 1 and u-root's commands: what many images have
	Run  []string // the files and the plan
	Size int64    // bytes of all parts
}

// Parts are all parts in their order.
func (i *Image) Parts() []string { return slices.Concat(i.Base, i.Run) }

// Build makes the image of spec. Parts that exist are not made again. Errors
// of the go command, which compiles PID 1 and u-root's commands once, are
// those of package sh.
func (b *Builder) Build(ctx context.Context, spec Spec) (*Image, error) {
	plan, err := planFile(spec.Plan)
	if err != nil {
		return nil, err
	}
	base, err := b.base(ctx)
	if err != nil {
		return nil, err
	}
	image := &Image{Base: []string{base}}
	if spec.Commands {
		commands, err := b.commands(ctx)
		if err != nil {
			return nil, err
		}
		image.Base = append(image.Base, commands)
	}
	for _, files := range [][]File{spec.Files, {plan}} {
		if len(files) == 0 {
			continue
		}
		part, err := b.part("run", files)
		if err != nil {
			return nil, err
		}
		image.Run = append(image.Run, part)
	}
	return image, image.weigh()
}

func planFile(plan wire.Plan) (File, error) {
	if plan.Version == 0 {
		plan.Version = wire.Version
	}
	text, err := json.MarshalIndent(plan, "", "\t")
	if err != nil {
		return File{}, fmt.Errorf("write the plan: %w", err)
	}
	return File{Path: wire.PlanPath, Data: text}, nil
}

// weigh fills in Size.
func (i *Image) weigh() error {
	for _, part := range i.Parts() {
		size, err := touch(part)
		if err != nil {
			return fmt.Errorf("make the image: %w", err)
		}
		i.Size += size
	}
	if i.Size > MaxSize {
		return fmt.Errorf("make the image: %d MiB are more than %d MiB", i.Size>>20, MaxSize>>20)
	}
	return nil
}

func (b *Builder) progress() progress.Sink {
	if b.Progress == nil {
		return progress.Discard{}
	}
	return b.Progress
}
