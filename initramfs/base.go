package initramfs

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/wire"
)

// PID 1 is compiled on the user's machine from the sources in this program,
// as a module of their own: after `go install` there is no repository.
//
//go:embed init
var initFiles embed.FS

// baseFiles is what every guest has beside PID 1.
func baseFiles() []File {
	files := []File{
		{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "/etc/group", Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n")},
		{Path: "/etc/mtab", Link: "/proc/self/mounts"},
		{Path: "/root", Mode: 0o700},
		{Path: "/tmp", Mode: 0o777 | fs.ModeSticky},
	}
	for _, dir := range []string{"/bin", "/dev", "/mnt", "/proc", "/run", "/sys", "/usr/bin", "/var"} {
		files = append(files, File{Path: dir})
	}
	return files
}

// base returns the part with PID 1.
func (b *Builder) base(ctx context.Context) (string, error) {
	module, err := initModule()
	if err != nil {
		return "", err
	}
	return b.compiled(ctx, "base", module, func(ctx context.Context, dir string) ([]File, error) {
		step := b.progress().Start("compile the guest's PID 1", 0, progress.Items)
		defer step.Done("")
		if err := writeModule(dir, module); err != nil {
			return nil, err
		}
		binary := filepath.Join(dir, "pid1")
		if err := b.goBuild(ctx, dir, binary, "./initramfs/init"); err != nil {
			return nil, fmt.Errorf("compile the guest's PID 1: %w", err)
		}
		return append(baseFiles(), File{Path: "/init", Source: binary, Mode: 0o755}), nil
	})
}

// initModule returns the files of the module that holds PID 1, by name.
func initModule() (map[string][]byte, error) {
	module := make(map[string][]byte)
	for dir, files := range map[string]embed.FS{"initramfs": initFiles, "internal/wire": wire.Source()} {
		err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") {
				return err
			}
			module[filepath.Join(dir, name)], err = files.ReadFile(name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the guest's PID 1: %w", err)
		}
	}
	for name, text := range map[string]string{"go.mod": "module.txt", "go.sum": "sums.txt"} {
		text := filepath.Join("initramfs/init", text)
		module[name] = module[text]
		delete(module, text)
	}
	return module, nil
}

// compiled returns the part whose files build makes from the sources in
// module, in an empty directory of its own. Other runvm that want the same
// part wait for the first.
func (b *Builder) compiled(ctx context.Context, kind string, module map[string][]byte, build func(ctx context.Context, dir string) ([]File, error)) (string, error) {
	id, err := toolchain()
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.Cache, kind+"-"+moduleKey(id, module)+".cpio")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the image: %w", err)
	}
	lock := flock.New(file + ".lock")
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("make the image: lock: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	b.sweep(kind)
	dir, err := os.MkdirTemp(b.Cache, "build-")
	if err != nil {
		return "", fmt.Errorf("make the image: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files, err := build(ctx, dir)
	if err != nil {
		return "", err
	}
	return file, writePart(file, files)
}

// toolchain identifies the go command, without the 15 ms of asking it.
func toolchain() (string, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("find the go command: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find the go command: %w", err)
	}
	return fmt.Sprint(path, info.Size(), info.ModTime().UnixNano(), runtime.GOARCH), nil
}

func moduleKey(toolchain string, module map[string][]byte) string {
	digest := sha256.New()
	fmt.Fprintf(digest, "%q\n", toolchain)
	fmt.Fprintf(digest, "%q\n", module) // fmt sorts maps
	return hex.EncodeToString(digest.Sum(nil))[:24]
}

func writeModule(dir string, module map[string][]byte) error {
	for name, text := range module {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write sources: %w", err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("write sources: %w", err)
		}
	}
	return nil
}

// goBuild compiles pkg of the module in dir into a static binary without the
// user's settings for their own code.
func (b *Builder) goBuild(ctx context.Context, dir, binary, pkg string) error {
	return b.Sh.Command(ctx, dir, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg).
		With("CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false", "GOWORK=off").Run()
}
