//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runvm runs ./runvm in dir with the variables env added, and fails b when it
// does not exit with 0.
func runvm(b *testing.B, dir string, env []string, args ...string) string {
	b.Helper()
	cmd := exec.Command(filepath.Join(repository(b), "runvm"), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("runvm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// median is the middle of samples, in seconds.
func median(samples []time.Duration) float64 {
	slices.Sort(samples)
	return samples[len(samples)/2].Seconds()
}

// vmTimes is the part of vm.json that is reported.
type vmTimes struct {
	Times struct {
		Hello    time.Duration `json:"hello"`
		FirstOut time.Duration `json:"first_out"`
		End      time.Duration `json:"end"`
	} `json:"times"`
}

// module writes a module with one trivial test into dir; n makes it differ.
func module(b *testing.B, dir string, n int) {
	b.Helper()
	files := map[string]string{
		"go.mod":      "module example.com/bench\n\ngo 1.24\n",
		"one_test.go": fmt.Sprintf("package bench\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) { t.Log(%d) }\n", n),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// warm measures `runvm test` from command to verdict; change edits the test
// before each.
func warm(b *testing.B, change bool) {
	dir := b.TempDir()
	module(b, dir, 0)
	runvm(b, dir, nil, "test", "-patches", series(b), ".")
	var total, first, end []time.Duration
	for i := 0; b.Loop(); i++ {
		if change {
			module(b, dir, i+1)
		}
		out := filepath.Join(b.TempDir(), "run")
		start := time.Now()
		runvm(b, dir, nil, "test", "-patches", series(b), "-o", out, ".")
		total = append(total, time.Since(start))
		data, err := os.ReadFile(filepath.Join(out, "vm.json"))
		if err != nil {
			b.Fatal(err)
		}
		var vm vmTimes
		if err := json.Unmarshal(data, &vm); err != nil {
			b.Fatal(err)
		}
		first, end = append(first, vm.Times.FirstOut), append(end, vm.Times.End)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(total), "verdict-s")
	b.ReportMetric(median(first), "qemu-to-first-event-s")
	b.ReportMetric(median(end), "qemu-s")
}

// BenchmarkWarm is a run in which everything but the boot is cached.
func BenchmarkWarm(b *testing.B) { warm(b, false) }

// BenchmarkChangedTest is a run after an edit of the test.
func BenchmarkChangedTest(b *testing.B) { warm(b, true) }

// BenchmarkChangedFile builds a kernel after a patch to one .c file changed.
func BenchmarkChangedFile(b *testing.B) {
	dir := b.TempDir()
	stamp := time.Now().UnixNano()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		patch := fmt.Sprintf("--- a/fs/splice.c\n+++ b/fs/splice.c\n@@ -1,2 +1,3 @@\n // SPDX-License-Identifier: GPL-2.0-only\n+/* %d %d */\n /*\n", stamp, i)
		name := filepath.Join(dir, "one.patch")
		if err := os.WriteFile(name, []byte(patch), 0o644); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		runvm(b, dir, nil, "build", "-patches", series(b), "-patches", name)
		took = append(took, time.Since(start))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took), "build-s")
}

// BenchmarkColdBuild builds the plain kernel with an empty cache: download,
// import, configuration and compilation, without ccache.
func BenchmarkColdBuild(b *testing.B) {
	for b.Loop() {
		cache := b.TempDir()
		start := time.Now()
		dir := strings.TrimSpace(runvm(b, cache, []string{"XDG_CACHE_HOME=" + cache, "CCACHE_DISABLE=1"}, "build", "-patches", series(b)))
		b.ReportMetric(time.Since(start).Seconds(), "all-s")
		lines := strings.Split(dir, "\n")
		data, err := os.ReadFile(filepath.Join(lines[len(lines)-1], "meta.json"))
		if err != nil {
			b.Fatal(err)
		}
		var meta struct {
			Took struct{ Configure, Compile time.Duration } `json:"took_ns"`
		}
		if err := json.Unmarshal(data, &meta); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((meta.Took.Configure + meta.Took.Compile).Seconds(), "make-s")
	}
	b.ReportMetric(0, "ns/op")
}
