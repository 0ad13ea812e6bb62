package run

import (
	"context"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/kernel/source"
)

// Source writes the source of k, patches applied, into the new or empty folder
// dir, or what paths name of it.
func (c *Conductor) Source(ctx context.Context, k Kernel, dir string, paths []string) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.Ready() {
		return usagef("-kernel %s is a ready image: it has no source", k.Spec)
	}
	if err := c.Host.Ensure(ctx, distro.Build()); err != nil {
		return err
	}
	built, err := c.source(ctx, k)
	if err != nil {
		return err
	}
	return source.Extract(ctx, c.Sh, built.Tree, dir, paths...)
}
