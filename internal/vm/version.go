package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// versionTime bounds how long QEMU may take to say its version.
const versionTime = 10 * time.Second

// A toldVersion is what a QEMU said of itself, and how its file looked then.
type toldVersion struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime_ns"`
	Text  string `json:"text"`
}

// Version is what `qemu --version` says first, "QEMU emulator version 7.2.22
// (Debian 1:7.2+dfsg-7+deb12u18)". QEMU is asked again when its file changes;
// cache is the folder in which the answer is kept.
func Version(ctx context.Context, qemu, cache string) (string, error) {
	path, err := find(qemu)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	memo := filepath.Join(cache, "qemu-version.json")
	now := toldVersion{Path: path, Size: info.Size(), MTime: info.ModTime().UnixNano()}
	var old toldVersion
	if data, err := os.ReadFile(memo); err == nil && json.Unmarshal(data, &old) == nil {
		if now.Text = old.Text; now == old {
			return old.Text, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	now.Text, _, _ = strings.Cut(string(out), "\n")
	data, err := json.Marshal(now)
	if err == nil {
		_ = renameio.WriteFile(memo, data, 0o644) // only asked again
	}
	return now.Text, err
}
