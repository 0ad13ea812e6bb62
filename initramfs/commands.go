package initramfs

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/uio/ulog"

	"github.com/runvm/runvm/internal/progress"
)

// commandFiles are a module that requires u-root, and the names of the
// commands taken from it, one a line.
//
//go:embed commands/module.txt commands/sums.txt commands/list.txt
var commandFiles embed.FS

// shellTag chooses the shell's plain line editor: the other one redraws the
// whole line in colour for every key, over a slow terminal.
const shellTag = "goshliner"

// busybox is where the one binary lies that is all commands.
const busybox = "/bbin/bb"

// commands returns the part with u-root's commands.
func (b *Builder) commands(ctx context.Context) (string, error) {
	module := map[string][]byte{"tags": []byte(shellTag)}
	for name, text := range map[string]string{"go.mod": "module.txt", "go.sum": "sums.txt", "list": "list.txt"} {
		data, err := commandFiles.ReadFile("commands/" + text)
		if err != nil {
			return "", fmt.Errorf("read the list of commands: %w", err)
		}
		module[name] = data
	}
	names := strings.Fields(string(module["list"]))
	return b.compiled(ctx, "commands", module, func(ctx context.Context, dir string) ([]File, error) {
		step := b.progress().Start(fmt.Sprintf("compile %d u-root commands (once)", len(names)), 0, progress.Items)
		defer step.Done("")
		if err := writeModule(dir, module); err != nil {
			return nil, err
		}
		binary, err := b.buildCommands(ctx, dir, names)
		if err != nil {
			return nil, fmt.Errorf("compile u-root's commands: %w", err)
		}
		return commandLinks(binary, names), nil
	})
}

// buildCommands compiles the commands called names into one binary. The
// library only writes the sources: its own build would bypass Go's cache.
func (b *Builder) buildCommands(ctx context.Context, dir string, names []string) (string, error) {
	// The module's requirements are downloaded first, where a cancelled
	// context is heard.
	download := b.Sh.Command(ctx, dir, "go", "mod", "download")
	if err := download.With("GOFLAGS=", "GOWORK=off").Run(); err != nil {
		return "", err
	}
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = "github.com/u-root/u-root/cmds/core/" + name
	}
	env := golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithWorkingDir(dir), golang.WithBuildTag(shellTag))
	generated := filepath.Join(dir, "generated")
	err := bb.BuildBusybox(ulog.Null, &bb.Opts{
		Env:          env,
		LookupEnv:    &findpkg.Env{}, // not the user's environment
		GenSrcDir:    generated,
		CommandPaths: paths,
		GenerateOnly: true,
	})
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "bb")
	build := b.Sh.Command(ctx, filepath.Join(generated, "src/bb.u-root.com/bb"),
		"go", "build", "-trimpath", "-tags", shellTag, "-ldflags", "-s -w", "-o", binary, ".")
	return binary, build.With("CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GO111MODULE=off", "GOPATH="+generated).Run()
}

// commandLinks gives every command its name, and the shell the names that
// scripts call it by.
func commandLinks(binary string, names []string) []File {
	files := []File{
		{Path: busybox, Source: binary, Mode: 0o755},
		{Path: "/bin/sh", Link: "/bbin/gosh"},
		{Path: "/bin/bash", Link: "/bbin/gosh"},
	}
	for _, name := range names {
		files = append(files,
			File{Path: "/bbin/" + name, Link: "bb"},
			File{Path: "/bin/" + name, Link: "/bbin/" + name})
	}
	return files
}
