package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/runvm/runvm/kernel/kconfig"
)

// configure makes the .config in the lane's objects and checks that all that
// was wanted is in it.
func (l *lane) configure(ctx context.Context) error {
	if err := os.WriteFile(l.log, nil, 0o644); err != nil {
		return fmt.Errorf("open build log: %w", err)
	}
	stamp, err := l.configInputs(ctx)
	if err != nil {
		return err
	}
	if l.configured(stamp) {
		return nil
	}
	step := l.b.step("configure "+l.tree.Name, 0)
	defer step.Done("")
	if err := l.generate(ctx); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	made, err := os.ReadFile(l.dotConfig())
	if err != nil {
		return fmt.Errorf("configure %s: %w", l.tree.Name, err)
	}
	return renameio.WriteFile(l.stampFile(), []byte(stamp+" "+hexSum(made)), 0o644)
}

func (l *lane) dotConfig() string { return filepath.Join(l.obj, ".config") }
func (l *lane) stampFile() string { return filepath.Join(l.obj, ".runvm-configured") }

// generate writes .config: the base, what is wanted, and what follows from it.
func (l *lane) generate(ctx context.Context) error {
	if l.user == nil {
		if err := l.kconfig(ctx, "tinyconfig"); err != nil {
			return err
		}
	} else if err := renameio.WriteFile(l.dotConfig(), l.user, 0o644); err != nil {
		return fmt.Errorf("write .config: %w", err)
	}
	base, err := readBounded(l.dotConfig(), maxConfig)
	if err != nil {
		return fmt.Errorf("configure %s: %w", l.tree.Name, err)
	}
	merged, err := kconfig.Merge(base, l.wanted)
	if err != nil {
		return fmt.Errorf("configure %s: %w", l.tree.Name, err)
	}
	if err := renameio.WriteFile(l.dotConfig(), merged, 0o644); err != nil {
		return fmt.Errorf("write .config: %w", err)
	}
	return l.kconfig(ctx, "olddefconfig")
}

// kconfig makes a target of Kconfig's. What it, make or a compiler says of a
// file of the tree is the tree's fault; whatever else keeps them from their
// work is this machine's.
func (l *lane) kconfig(ctx context.Context, target string) error {
	m, err := l.make(ctx, nil, target)
	var failed *BuildError
	if !errors.As(err, &failed) {
		return err
	}
	for _, line := range m.placed {
		if header := noLibrary.FindStringSubmatch(line); header != nil {
			return &MissingTool{Tool: header[1], For: "configuring " + l.tree.Name}
		}
	}
	if said := slices.DeleteFunc(m.placed, l.elsewhere); len(said) > 0 {
		failed.Errors = said
		return failed
	}
	if slices.ContainsFunc(m.stops, noRule.MatchString) {
		return failed
	}
	return &HostError{Said: fmt.Sprintf("make %s: %s", target, first(m.last, "it failed without a word")), Log: l.log}
}

// elsewhere tells whether a line that begins with the name of a file means none
// of the tree.
func (l *lane) elsewhere(line string) bool {
	name := placedLine.FindStringSubmatch(line)[1]
	if !filepath.IsLocal(name) {
		return true
	}
	_, err := os.Lstat(filepath.Join(l.src, name))
	return err != nil
}

// check compares .config with what was wanted.
func (l *lane) check() error {
	text, err := readBounded(l.dotConfig(), maxConfig)
	if err != nil {
		return fmt.Errorf("configure %s: %w", l.tree.Name, err)
	}
	got, err := kconfig.ReadDotConfig(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("configure %s: .config: %w", l.tree.Name, err)
	}
	missing := got.Missing(l.wanted)
	if len(missing) == 0 {
		return nil
	}
	depends, err := kconfig.Depends(os.DirFS(l.src), "x86")
	if err != nil {
		return fmt.Errorf("configure %s: CONFIG_%s did not survive: %w", l.tree.Name, missing[0].Name, err)
	}
	e := &ConfigError{Tree: l.tree.Name}
	for _, s := range missing {
		e.Missing = append(e.Missing, explain(s, got, depends))
	}
	return e
}

// explain says why a symbol came out otherwise than wanted.
func explain(s kconfig.Symbol, got kconfig.DotConfig, depends map[string]string) Missing {
	expr, known := depends[s.Name]
	m := Missing{Symbol: s.Name, Want: s.Value, Got: got.Value(s.Name), Depends: expr, Unknown: !known}
	for _, name := range kconfig.Symbols(expr) {
		if got.Value(name) == "n" {
			m.Unmet = append(m.Unmet, name)
		}
	}
	return m
}

// configured tells whether .config was made from the inputs that stamp sums up.
func (l *lane) configured(stamp string) bool {
	old, err := readBounded(l.stampFile(), 4<<10)
	if err != nil {
		return false
	}
	config, err := readBounded(l.dotConfig(), maxConfig)
	return err == nil && string(old) == stamp+" "+hexSum(config)
}

// configInputs is a digest of all that .config follows from: what is wanted,
// the compiler, and the tree's Kconfig files and scripts. Making .config takes
// seconds; an edit of a .c file need not pay them.
func (l *lane) configInputs(ctx context.Context) (string, error) {
	list, err := l.b.Sh.Command(ctx, "", "git", "--git-dir="+l.tree.GitDir, "ls-tree", "-r", l.tree.ID).Output()
	if err != nil {
		return "", fmt.Errorf("list %s: %w", l.tree.Name, err)
	}
	var inputs strings.Builder
	fmt.Fprintln(&inputs, l.toolchain, l.userSum, flags())
	for _, s := range l.wanted {
		fmt.Fprintln(&inputs, s.Line())
	}
	for line := range strings.Lines(string(list)) {
		if _, name, found := strings.Cut(line, "\t"); found && shapesConfig(strings.TrimSpace(name)) {
			inputs.WriteString(line)
		}
	}
	return hexSum([]byte(inputs.String())), nil
}

// shapesConfig tells whether a file of the tree can change .config.
func shapesConfig(name string) bool {
	dir, base := filepath.Split(name)
	return strings.HasPrefix(base, "Kconfig") || strings.HasPrefix(dir, "scripts/") ||
		strings.HasSuffix(base, ".config") || strings.HasPrefix(base, "Makefile") &&
		(dir == "" || strings.HasPrefix(dir, "arch/x86/"))
}
