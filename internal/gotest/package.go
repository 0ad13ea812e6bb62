package gotest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

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
	Progress progress.Sink // nil shows nothing
}

// ErrNoPackages says that patterns name no package that has tests.
var ErrNoPackages = errors.New("no package with tests")

// listed is what `go list -json` says of a package.
type listed struct {
	Dir          string
	ImportPath   string
	TestGoFiles  []string
	XTestGoFiles []string
}

// List returns the packages with tests that patterns name, sorted by import
// path. The error is ErrNoPackages where there are none, or what the go
// command complained of.
func (t *Toolchain) List(ctx context.Context, patterns []string) ([]Package, error) {
	args := append([]string{"list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "--"}, patterns...)
	out, err := t.command(ctx, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", strings.Join(patterns, " "), err)
	}
	pkgs, err := parseList(out)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", strings.Join(patterns, " "), err)
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("list %s: %w", strings.Join(patterns, " "), ErrNoPackages)
	}
	return pkgs, nil
}

func parseList(text []byte) ([]Package, error) {
	var pkgs []Package
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		var l listed
		err := dec.Decode(&l)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		p := Package{ImportPath: l.ImportPath, Dir: l.Dir}
		for _, file := range append(l.TestGoFiles, l.XTestGoFiles...) {
			p.TestFiles = append(p.TestFiles, filepath.Join(l.Dir, file))
		}
		if len(p.TestFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
	slices.SortFunc(pkgs, func(a, b Package) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return pkgs, nil
}

// command returns a go command for code that runs in the guest: static.
func (t *Toolchain) command(ctx context.Context, args ...string) *sh.Cmd {
	return t.Sh.Command(ctx, t.Dir, "go", args...).With("CGO_ENABLED=0", "GOOS=linux")
}

func (t *Toolchain) progress() progress.Sink {
	if t.Progress == nil {
		return progress.Discard{}
	}
	return t.Progress
}
