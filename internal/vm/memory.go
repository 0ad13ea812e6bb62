package vm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// memoryTime is how long a probe's answer is believed: what made it wrong,
// a loaded machine, passes.
const memoryTime = 24 * time.Hour

// probeKey names all that the probe's answer depends on.
func probeKey(qemu string) (string, error) {
	h := sha256.New()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", os.NewSyscallError("uname", err)
	}
	info, err := os.Stat(qemu)
	if err != nil {
		return "", fmt.Errorf("qemu: %w", err)
	}
	fmt.Fprintln(h, unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]))
	fmt.Fprintln(h, qemu, info.Size(), info.ModTime().UnixNano())
	fmt.Fprintln(h, os.Getuid(), cpuModel(), sha256.Sum256(payload()))
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.Write(boot)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16]), nil
}

// cpuModel is the host's, "" where /proc does not tell.
func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if bytes.HasPrefix(line, []byte("model name")) {
			return string(line)
		}
	}
	return ""
}

// recall returns what was remembered under key, when it is not too old.
func recall(cache, key string) (Accel, bool) {
	if cache == "" {
		return Accel{}, false
	}
	file := probeFile(cache, key)
	info, err := os.Stat(file)
	if err != nil || info.Size() > 1<<16 || time.Since(info.ModTime()) > memoryTime {
		return Accel{}, false
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Accel{}, false
	}
	var a Accel
	if json.Unmarshal(text, &a) != nil || a.Name != KVM && a.Name != TCG {
		return Accel{}, false
	}
	a.Took = 0
	return a, true
}

func remember(cache, key string, a Accel) error {
	if cache == "" {
		return nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("remember the KVM probe: %w", err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(probeFile(cache, key), text, 0o644); err != nil {
		return fmt.Errorf("remember the KVM probe: %w", err)
	}
	return nil
}

func probeFile(cache, key string) string { return filepath.Join(cache, "kvm-"+key+".json") }
