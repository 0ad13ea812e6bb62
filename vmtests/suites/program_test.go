package suites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// programTime is how long a program may run, before it is said to hang.
	programTime = 10 * time.Minute
	// quoted is how much of the end of its output a failure quotes, in bytes.
	quoted = 4000
)

// need wants programs that are not part of this package to be in the guest: where
// tests are to be short they are skipped without, else they fail.
func need(t *testing.T, programs ...string) {
	t.Helper()
	guest.Need(t)
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if testing.Short() {
			t.Skipf("needs %s in the guest: see make suites", p)
		}
		t.Fatalf("%s is not in the guest: make suites puts it there (-short skips what needs it)", p)
	}
}

// run runs a program in dir with additions to the environment and returns all
// that it wrote.
func run(t *testing.T, env []string, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(os.Environ(), env...), dir, time.Minute
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("not done after %v", programTime))
	}
	return string(out), err
}

// failure is what is to be said of a program that ended with err; "" without one.
func failure(out string, err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v\n%s", err, strings.TrimSpace(out[max(0, len(out)-quoted):]))
}

// mkdir makes a directory in dir, whose path it returns.
func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	own := filepath.Join(dir, name)
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	return own
}

// remove frees the memory that the files below dir take.
func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
