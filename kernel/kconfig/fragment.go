// Package kconfig reads and merges the kernel's configuration: fragments of
// wanted symbols, .config files, and of the Kconfig language as much as it
// takes to say what a symbol depends on.
package kconfig

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// Bounds of what is read; the largest .config of the kernel has 20000 lines.
const (
	maxLine  = 64 << 10
	maxLines = 100_000
)

// A Symbol is one wanted configuration symbol.
type Symbol struct {
	// Name is without CONFIG_.
	Name string
	// Value is as in a .config: y, m, a number, a quoted string; n is a
	// symbol that must not be set.
	Value string
	// Why is the comment above it.
	Why string
	// Since and Until are the first and the last release that has the
	// symbol; the zero Version is no bound.
	Since, Until Version
}

// Line is the symbol as a line of a .config.
func (s Symbol) Line() string {
	if s.Value == "n" {
		return "# CONFIG_" + s.Name + " is not set"
	}
	return "CONFIG_" + s.Name + "=" + s.Value
}

// For tells whether the symbol is wanted of a tree of version v.
func (s Symbol) For(v Version) bool {
	return !v.Less(s.Since) && (s.Until == Version{} || !s.Until.Less(v))
}

// Parse reads a fragment: lines of a .config, where the comment above a symbol
// belongs to it. A comment line "# since 6.9" or "# until 6.2" limits the
// symbol to releases from, or up to and including, the one named. Errors name
// the line.
func Parse(r io.Reader) ([]Symbol, error) {
	var symbols []Symbol
	var above Symbol
	err := lines(r, func(n int, line string) error {
		s, ok, err := parseSymbol(line)
		switch {
		case err != nil:
			return fmt.Errorf("line %d: %w", n, err)
		case ok:
			s.Why, s.Since, s.Until = above.Why, above.Since, above.Until
			symbols = append(symbols, s)
			above = Symbol{}
		case strings.HasPrefix(line, "#"):
			if err := above.comment(strings.TrimSpace(line[1:])); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		case line == "":
			above = Symbol{}
		default:
			return fmt.Errorf("line %d: %.60q is neither a symbol nor a comment", n, line)
		}
		return nil
	})
	return symbols, err
}

// comment adds one line of comment, or the bound that it states.
func (s *Symbol) comment(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	bound := &s.Since
	switch word {
	case "since":
	case "until":
		bound = &s.Until
	default:
		s.Why = strings.TrimSpace(s.Why + " " + text)
		return nil
	}
	v, err := ParseVersion(rest)
	if err != nil {
		return err
	}
	*bound = v
	return nil
}

// lines calls f with each line of r, without the space around it, and its
// number from 1.
func lines(r io.Reader, f func(int, string) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	n := 0
	for sc.Scan() {
		if n++; n > maxLines {
			return fmt.Errorf("more than %d lines", maxLines)
		}
		if err := f(n, strings.TrimSpace(sc.Text())); err != nil {
			return err
		}
	}
	return sc.Err()
}

const unset = " is not set"

// parseSymbol reads one line of a .config; ok is false when it sets nothing.
func parseSymbol(line string) (s Symbol, ok bool, err error) {
	if rest, found := strings.CutPrefix(line, "# CONFIG_"); found && strings.HasSuffix(rest, unset) {
		s = Symbol{Name: strings.TrimSuffix(rest, unset), Value: "n"}
		return s, true, checkName(s.Name)
	}
	rest, found := strings.CutPrefix(line, "CONFIG_")
	if !found {
		return s, false, nil
	}
	name, value, found := strings.Cut(rest, "=")
	if !found || value == "" {
		return s, false, fmt.Errorf("CONFIG_%.60s has no value", name)
	}
	return Symbol{Name: name, Value: value}, true, checkName(name)
}

func checkName(name string) error {
	for _, c := range name {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("%.60q is not the name of a symbol", name)
		}
	}
	if name == "" {
		return fmt.Errorf("a symbol without a name")
	}
	return nil
}

// Union returns the symbols wanted of a tree of version v, one a name, sorted
// by name. Of several with one name the last wins.
func Union(v Version, fragments ...[]Symbol) []Symbol {
	last := map[string]Symbol{}
	for _, f := range fragments {
		for _, s := range f {
			if s.For(v) {
				last[s.Name] = s
			}
		}
	}
	all := make([]Symbol, 0, len(last))
	for _, s := range last {
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// A Version is the part of a release that decides which symbols it has.
type Version struct{ Major, Minor int }

// ParseVersion reads "6.12", "6.12.117" or "7.3-rc1".
func ParseVersion(s string) (Version, error) {
	major, rest, _ := strings.Cut(strings.TrimSpace(s), ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
		minor = rest[:i]
	}
	var v Version
	var err1, err2 error
	v.Major, err1 = strconv.Atoi(major)
	v.Minor, err2 = strconv.Atoi(minor)
	if err1 != nil || err2 != nil || v.Major < 0 {
		return Version{}, fmt.Errorf("%.40q is not the version of a kernel", s)
	}
	return v, nil
}

// Less tells whether v was released before w.
func (v Version) Less(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// String is "6.12".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }
