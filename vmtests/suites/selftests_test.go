package suites

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// selftestsDir is where the kernel's splice selftests are: each expects the
// others beside it.
const selftestsDir = "/usr/bin"

// TestSpliceSelftests runs the kernel's tools/testing/selftests/splice: the scripts
// on procfs and sysfs, and the program that they use on files of each path.
func TestSpliceSelftests(t *testing.T) {
	need(t, "splice_read", "default_file_splice_read", "short_splice_read.sh", "default_file_splice_read.sh")
	onEach(t, func(t *testing.T, p place) {
		if p.name == plain {
			t.Run("default_file_splice_read.sh", func(t *testing.T) {
				out, err := runSelftest(t, "default_file_splice_read.sh")
				judge(t, p, "default_file_splice_read.sh", failure(out, err))
			})
			shortSpliceRead(t, p)
		}
		rng := rand.New(rand.NewPCG(20190626, 0))
		for _, size := range []int{0, 1, 2, 4095, 4096, 4097, 300_000} {
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(rng.Uint32())
			}
			name := fmt.Sprint("splice_read ", size)
			t.Run(name, func(t *testing.T) { judge(t, p, name, spliceRead(p, want)) })
		}
	})
}

// runSelftest runs a script by the shell and the commands that it was written
// for, which lie beside it: those of u-root come first in PATH.
func runSelftest(t *testing.T, script string) (string, error) {
	t.Helper()
	return run(t, []string{"PATH=" + selftestsDir}, selftestsDir, selftestsDir+"/sh", selftestsDir+"/"+script)
}

// spliceRead has splice_read read a file that holds want, once all of it and
// once two bytes; it returns what is wrong.
func spliceRead(p place, want []byte) string {
	file := fmt.Sprint("file-", len(want))
	if err := os.WriteFile(filepath.Join(p.real, file), want, 0o644); err != nil {
		return err.Error()
	}
	for _, n := range []int{2, len(want)} {
		var errs bytes.Buffer
		cmd := exec.Command("splice_read", filepath.Join(p.dir, file), fmt.Sprint(n))
		cmd.Stderr = &errs
		got, err := cmd.Output()
		if err != nil {
			return fmt.Sprintf("%d bytes: %v %s", n, err, &errs)
		}
		// The program splices once, as much as the pipe holds.
		if most := min(n, len(want), pipeSize); len(got) != most || !bytes.Equal(got, want[:most]) {
			return fmt.Sprintf("%d bytes: got %d, as they should be: %t; want %d", n, len(got), bytes.HasPrefix(want, got), most)
		}
	}
	return ""
}

// pipeSize is how many bytes a pipe holds.
const pipeSize = 64 << 10

// selftestLine is a line of short_splice_read.sh that begins or ends a case.
var selftestLine = regexp.MustCompile(`(?m)^(?:(\S.*) \.\.\.|(ok|FAIL): .*)$`)

// shortSpliceRead makes a subtest of each case of short_splice_read.sh.
func shortSpliceRead(t *testing.T, p place) {
	out, err := runSelftest(t, "short_splice_read.sh")
	title, cases, failed := "", 0, 0
	for _, m := range selftestLine.FindAllStringSubmatch(out, -1) {
		if m[2] == "" {
			title = m[1]
			continue
		}
		said := ""
		if cases++; m[2] == "FAIL" {
			failed++
			said = m[0]
		}
		t.Run(title, func(t *testing.T) { judge(t, p, title, said) })
	}
	if cases < 5 || (err != nil) != (failed > 0) {
		t.Errorf("%d cases, %d failed, %v\n%s", cases, failed, err, out)
	}
}
