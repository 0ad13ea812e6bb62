package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Name:  "build",
		Usage: "build a kernel and print the folder of its image",
		Flags: append(kernelFlags(),
			&cli.StringFlag{Name: "print", Usage: "print one path instead: `WHAT` is vmlinux, bzImage or config"}),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    buildAction,
	}
}

func buildAction(ctx context.Context, c *cli.Command) error {
	what := c.String("print")
	switch what {
	case "", "vmlinux", "bzImage", "config":
	default:
		return &usageError{fmt.Errorf("-print %s: want vmlinux, bzImage or config", what), "runvm help build"}
	}
	if c.Args().Present() {
		return &usageError{fmt.Errorf("build takes no argument %q", c.Args().First()), "runvm help build"}
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	built, err := cond.Build(ctx, kernelFrom(c))
	if err != nil {
		return err
	}
	path := map[string]string{"": built.Dir, "vmlinux": built.Vmlinux, "bzImage": built.BzImage, "config": built.Config}[what]
	if path == "" {
		return &usageError{fmt.Errorf("-kernel %s is a ready image: it has no %s", c.String("kernel"), what), "runvm help build"}
	}
	_, err = fmt.Fprintln(cond.Out, path)
	return err
}
