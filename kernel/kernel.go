// Package kernel turns a patched kernel tree into an image that QEMU boots.
//
// A Builder keeps images in a store whose key is everything that can change
// them: the content of the tree, the symbols wanted, the toolchain and make's
// flags. An image that is there is returned at once; another is built in the
// lane of its source, a folder of sources and objects that is kept, so that a
// change of one file compiles one file. Finished images appear in the store
// whole or not at all.
//
//	<cache>/image/<key>/   vmlinux bzImage config System.map build.log sources meta.json
//	<cache>/lane/<base>/   src, and obj-<profile> for each profile built
//	<cache>/lock/          one lock a key, one a lane
package kernel

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/source"
)

// A Builder builds images and keeps them. Its methods may be called by several
// goroutines and several processes at once.
type Builder struct {
	// Cache is the folder that holds the store, made when it is needed. The
	// kernel's makefiles allow no space and no colon in its path.
	Cache string
	// Sh runs make and the compilers.
	Sh sh.Runner
	// Progress is told of waits and of the build; nil shows nothing.
	Progress progress.Sink
}

// Build returns the image that req asks for, building it when the store lacks
// it. Errors of the configuration are a *ConfigError, of the compiler a
// *BuildError; *KilledError, *DiskFullError, *MissingTool and *HostError are
// this machine's. When ctx ends the lane stays usable and the store as it was.
func (b *Builder) Build(ctx context.Context, req Request) (*Image, error) {
	image, err := b.image(ctx, req)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("build: %w", ctx.Err())
	}
	return image, err
}

// image finds the image in the store, or builds it while others wait.
func (b *Builder) image(ctx context.Context, req Request) (*Image, error) {
	p, err := b.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	if image := b.lookup(p.key); image != nil {
		return image, nil
	}
	unlock, err := b.lock(ctx, "image-"+p.key, "the same image")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if image := b.lookup(p.key); image != nil {
		return image, nil
	}
	return b.build(ctx, p)
}

// build makes the image of p; the caller holds the lock of its key.
func (b *Builder) build(ctx context.Context, p *plan) (*Image, error) {
	if err := checkTools(); err != nil {
		return nil, err
	}
	l, err := b.openLane(ctx, p)
	if err != nil {
		return nil, err
	}
	defer l.close()
	var took Timings
	stages := []struct {
		took *time.Duration
		run  func(context.Context) error
	}{
		{&took.Checkout, l.checkout},
		{&took.Configure, l.configure},
		{&took.Compile, l.compile},
	}
	for _, stage := range stages {
		start := time.Now()
		if err := stage.run(ctx); err != nil {
			return nil, l.diskFull(err)
		}
		*stage.took = time.Since(start)
	}
	if err := b.store(l, took); err != nil {
		return nil, l.diskFull(err)
	}
	image := b.lookup(p.key)
	if image == nil {
		return nil, fmt.Errorf("build %s: the finished image vanished from %s", p.tree.Name, b.imageDir(p.key))
	}
	image.Cached = false
	return image, nil
}

// step opens a step of progress.
func (b *Builder) step(name string, total int64) progress.Step {
	if b.Progress == nil {
		return progress.Discard{}.Start(name, total, progress.Items)
	}
	return b.Progress.Start(name, total, progress.Items)
}

func (b *Builder) imageDir(key string) string { return filepath.Join(b.Cache, "image", key) }

// diskFull makes every way to run out of room one type. Some programs only say
// that they can't write: then the disk is asked.
func (l *lane) diskFull(err error) error {
	switch {
	case errors.As(err, new(*DiskFullError)), errors.As(err, new(*ConfigError)),
		errors.As(err, new(*BuildError)), errors.As(err, new(*KilledError)), errors.As(err, new(*MissingTool)):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, source.ErrDiskFull), noRoom(l.dir):
		return &DiskFullError{Dir: l.dir, Cause: err}
	}
	return err
}

// noRoom tells whether the disk that holds dir has less than 4 MiB left.
func noRoom(dir string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return false
	}
	return disk.Bavail*uint64(disk.Bsize) < 4<<20 || disk.Files > 0 && disk.Ffree == 0
}
