package gotest

import (
	"context"
	"errors"
	"fmt"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// A Package is a Go package that has tests.
type Package struct {
	ImportPath string
	Dir        string // on the host
	// TestFiles are its _test.go files, paths on the host.
	TestFiles []string
}

// GuestDir is the directory in the guest where the package's test binary runs
// and where its testdata lies.
func (p *Package) GuestDir() string { return "/pkg/" + p.ImportPath }

// A Toolchain lists and compiles packages with the host's go command.
type Toolchain struct {
	Cache    string // directory for the binaries
	Dir      string // where patterns are resolved: in the user's module
	Sh       sh.Runner
	Progress progress.Sink
}

// ErrNoPackages says that patterns name no package that has tests.
var ErrNoPackages = errors.New("no package with tests")

// List returns the packages with tests that patterns name, sorted.
func (t *Toolchain) List(ctx context.Context, patterns []string) ([]Package, error) {
	return nil, fmt.Errorf("list %q: %w", patterns, ErrNoPackages)
}

// A Binary is the compiled test of a package.
type Binary struct {
	Package Package
	Path    string // static ELF file on the host
}

// Compile compiles the test binaries of pkgs for the guest, in the order of
// pkgs. The error is a *CompileError when Go source is at fault.
func (t *Toolchain) Compile(ctx context.Context, pkgs []Package) ([]Binary, error) {
	return nil, nil
}

// A CompileError is Go source that does not compile.
type CompileError struct {
	Packages []string // import paths
	Lines    []string // "file.go:3:1: text", at most 10
}

// Error names the packages and the first line.
func (e *CompileError) Error() string { return "" }
