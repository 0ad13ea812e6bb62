package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

func sourceCommand() *cli.Command {
	return &cli.Command{
		Name:      "source",
		Usage:     "write a kernel's source, patches applied, into a folder",
		ArgsUsage: "DIR [PATH]...",
		Description: "DIR must be new or empty. PATHs are files and folders of the source; without\n" +
			"any it is all of them.",
		Flags:                     kernelFlags(),
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true,
		Action:                    sourceAction,
	}
}

func sourceAction(ctx context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return &usageError{errors.New("source: no folder named"), "runvm help source"}
	}
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	return cond.Source(ctx, kernelFrom(c), c.Args().First(), c.Args().Tail())
}
