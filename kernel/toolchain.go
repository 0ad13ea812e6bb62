package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// tools are the programs a build cannot do without, and what each is for.
func tools() [][2]string {
	return [][2]string{
		{"make", "building a kernel"},
		{"gcc", "compiling a kernel"},
		{"ld", "linking a kernel"},
		{"flex", "reading a kernel's configuration"},
		{"bison", "reading a kernel's configuration"},
		{"bc", "the kernel's tables of time"},
		{"gzip", "compressing bzImage"},
	}
}

// checkTools finds what is missing before minutes are spent.
func checkTools() error {
	for _, t := range tools() {
		if _, err := exec.LookPath(t[0]); err != nil {
			return &MissingTool{Tool: t[0], For: t[1]}
		}
	}
	return nil
}

// compiler is make's CC: through ccache where there is one.
func compiler() (cc string, cached bool) {
	if _, err := exec.LookPath("ccache"); err == nil {
		return "ccache gcc", true
	}
	return "gcc", false
}

// An identity is what a program said it is, and how its file looked then.
type identity struct {
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime_ns"`
	Text  string `json:"text"`
}

// toolchain says which compiler and linker make the image. The programs are
// asked once and again when their files change.
func (b *Builder) toolchain(ctx context.Context) (string, error) {
	memoPath := filepath.Join(b.Cache, "toolchain.json")
	memo := map[string]identity{}
	if text, err := readBounded(memoPath, 1<<20); err == nil {
		_ = json.Unmarshal(text, &memo) // a damaged memo is asked anew
	}
	known := len(memo)
	var texts []string
	for _, name := range []string{"gcc", "ld"} {
		id, fresh, err := b.identify(ctx, memo, name)
		if err != nil {
			return "", err
		}
		if fresh {
			known = -1
		}
		texts = append(texts, id.Text)
	}
	if known != len(memo) {
		if err := b.remember(memoPath, memo); err != nil {
			return "", err
		}
	}
	return strings.Join(texts, "; "), nil
}

// identify returns the identity of one program, fresh when memo did not hold it.
func (b *Builder) identify(ctx context.Context, memo map[string]identity, name string) (id identity, fresh bool, err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return id, false, &MissingTool{Tool: name, For: "building a kernel"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return id, false, fmt.Errorf("identify %s: %w", name, err)
	}
	id = memo[path]
	if id.Text != "" && id.Size == info.Size() && id.MTime == info.ModTime().UnixNano() {
		return id, false, nil
	}
	cmd := b.Sh.Command(ctx, "", path, "-v").With("LC_ALL=C")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return id, false, fmt.Errorf("identify %s: %w", name, err)
	}
	id = identity{Size: info.Size(), MTime: info.ModTime().UnixNano(), Text: describe(out.String())}
	memo[path] = id
	return id, true, nil
}

// describe keeps of a program's -v what can change its output, not where it
// is installed.
func describe(v string) string {
	var kept []string
	for line := range strings.Lines(v) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Configured with: "):
			kept = append(kept, "configuration "+hexSum([]byte(line))[:shortKey])
		case strings.HasPrefix(line, "Target: "), strings.Contains(line, " version "),
			strings.HasPrefix(line, "GNU "):
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		return hexSum([]byte(v))
	}
	return strings.Join(kept, ", ")
}

func (b *Builder) remember(path string, memo map[string]identity) error {
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	text, err := json.MarshalIndent(memo, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("remember the toolchain: %w", err)
	}
	return nil
}
