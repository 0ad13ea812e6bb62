// Package config holds the configurations of runvm's kernels: small fragments
// by purpose, one comment a symbol, and profiles, which are lists of them. A
// new profile is a new file in the folder profiles.
package config

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/runvm/runvm/kernel/kconfig"
)

// Default is the profile that is used when none is named.
const Default = "plain"

// maxFragment bounds a user's fragment, in bytes.
const maxFragment = 4 << 20

//go:embed *.config profiles
var files embed.FS

// Profiles returns the names of the profiles, sorted.
func Profiles() []string {
	entries, err := fs.ReadDir(files, "profiles")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// IsPath tells whether an element of a list given to Load is the path of a
// user's fragment.
func IsPath(element string) bool {
	return strings.Contains(element, "/") || strings.HasSuffix(element, ".config")
}

// Load returns the symbols of a comma-separated list of profiles, fragments
// ("debug.config" is a path, "debug" is not) and paths of users' fragments, in
// that order. "" is Default. trim says whether to include the symbols that
// profiles switch off to be quick to build; on top of a user's own .config,
// which may need them, they are left alone.
func Load(list string, trim bool) ([]kconfig.Symbol, error) {
	if list == "" {
		list = Default
	}
	var all []kconfig.Symbol
	for _, element := range strings.Split(list, ",") {
		element = strings.TrimSpace(element)
		symbols, err := load(element)
		if err != nil {
			return nil, err
		}
		if !trim && !IsPath(element) {
			symbols = slices.DeleteFunc(symbols, func(s kconfig.Symbol) bool { return s.Value == "n" })
		}
		all = append(all, symbols...)
	}
	return all, nil
}

func load(element string) ([]kconfig.Symbol, error) {
	if IsPath(element) {
		return userFragment(element)
	}
	names, err := profile(element)
	if err != nil {
		names = []string{element}
	}
	var all []kconfig.Symbol
	for _, name := range names {
		f, err := files.Open(name + ".config")
		if err != nil {
			return nil, fmt.Errorf("profile %q is unknown: use %s or the path of a .config fragment",
				name, strings.Join(Profiles(), ", "))
		}
		symbols, err := kconfig.Parse(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s.config: %w", name, err)
		}
		all = append(all, symbols...)
	}
	return all, nil
}

// profile returns the fragments a profile consists of.
func profile(name string) ([]string, error) {
	text, err := files.ReadFile(path.Join("profiles", name))
	if err != nil {
		return nil, err
	}
	var fragments []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			fragments = append(fragments, line)
		}
	}
	return fragments, nil
}

func userFragment(name string) ([]kconfig.Symbol, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read fragment: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFragment {
		return nil, fmt.Errorf("read fragment %s: not a file of at most %d MiB", name, maxFragment>>20)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read fragment: %w", err)
	}
	defer f.Close()
	symbols, err := kconfig.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read fragment %s: %w", name, err)
	}
	return symbols, nil
}
