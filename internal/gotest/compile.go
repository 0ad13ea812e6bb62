package gotest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// A Binary is the compiled test of a package.
type Binary struct {
	Package Package
	Path    string // static ELF file on the host
}

// Compile compiles the test binaries of pkgs for the guest, in the order of
// pkgs. A package has one place in the cache, so that the go command links it
// only when it changed. The error is a *CompileError when Go source is at
// fault.
func (t *Toolchain) Compile(ctx context.Context, pkgs []Package) ([]Binary, error) {
	step := t.progress().Start("compile tests", int64(len(pkgs)), progress.Items)
	binaries := make([]Binary, len(pkgs))
	errs := make([]error, len(pkgs))
	var done atomic.Int64
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, pkg := range pkgs {
		group.Go(func() error {
			binaries[i].Package = pkg
			binaries[i].Path, errs[i] = t.compile(ctx, pkg)
			step.Set(done.Add(1), int64(len(pkgs)))
			return nil // every package's errors are wanted
		})
	}
	_ = group.Wait()
	if err := joined(errs); err != nil {
		step.Done("failed")
		return nil, err
	}
	step.Done("")
	return binaries, nil
}

// compile compiles one package. Two runvm do so one after the other: the go
// command does not replace a binary as a whole.
func (t *Toolchain) compile(ctx context.Context, pkg Package) (string, error) {
	file := t.binary(pkg)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", fmt.Errorf("compile %s: %w", pkg.ImportPath, err)
	}
	lock := flock.New(file + ".lock")
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("compile %s: %w", pkg.ImportPath, err)
	}
	defer func() { _ = lock.Unlock() }()
	err := t.command(ctx, "test", "-c", "-o", file, pkg.ImportPath).Run()
	var failed *sh.Error
	if errors.As(err, &failed) && ctx.Err() == nil {
		if lines := complaints(failed.Stderr); len(lines) > 0 {
			return "", &CompileError{Packages: []string{pkg.ImportPath}, Lines: lines}
		}
	}
	if err != nil {
		return "", fmt.Errorf("compile %s: %w", pkg.ImportPath, err)
	}
	return file, nil
}

// binary is the place of pkg's test binary: packages of the same name in
// different worktrees have different ones.
func (t *Toolchain) binary(pkg Package) string {
	sum := sha256.Sum256([]byte(pkg.Dir + "\x00" + pkg.ImportPath))
	return filepath.Join(t.Cache, hex.EncodeToString(sum[:8]), path.Base(pkg.ImportPath)+".test")
}

// maxLines bounds the Lines of a CompileError.
const maxLines = 10

// A CompileError is Go source that does not compile.
type CompileError struct {
	Packages []string // import paths
	Lines    []string // "file.go:3:1: text", at most 10
}

// Error names the packages and the first line.
func (e *CompileError) Error() string {
	return fmt.Sprintf("compile %s: %s", strings.Join(e.Packages, " "), e.Lines[0])
}

// complaints picks the lines of a compiler's output that name a place.
func complaints(text string) []string {
	place := regexp.MustCompile(`^\S.*\.go:\d+(:\d+)?: `)
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); place.MatchString(line) && len(lines) < maxLines {
			lines = append(lines, line)
		}
	}
	return lines
}

// joined makes one error of those of several packages.
func joined(errs []error) error {
	var all CompileError
	for _, err := range errs {
		var one *CompileError
		switch {
		case errors.As(err, &one):
			all.Packages = append(all.Packages, one.Packages...)
			all.Lines = append(all.Lines, one.Lines[:min(len(one.Lines), maxLines-len(all.Lines))]...)
		case err != nil:
			return err
		}
	}
	if len(all.Packages) == 0 {
		return nil
	}
	return &all
}
