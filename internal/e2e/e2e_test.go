//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// repository is the root of the repository.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "runvm")); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	return dir
}

// series is the folder of the series that the main job applies.
func series(t testing.TB) string {
	return filepath.Join(repository(t), "patches", "linux-6.12")
}

// TestRunvm runs the scripts of testdata.
func TestRunvm(t *testing.T) { scripts(t, "testdata") }

// scripts runs those of dir with the user's own cache and the series of the
// main job ($SERIES), so that kernels are built once, and with more variables,
// NAME=VALUE.
func scripts(t *testing.T, dir string, more ...string) {
	repo := repository(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repo)
			env.Setenv("SERIES", series(t))
			env.Setenv("XDG_CACHE_HOME", cache)
			env.Vars = append(env.Vars, more...)
			env.Setenv("PATH", repo+":"+os.Getenv("PATH"))
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOSUMDB"} {
				out, err := exec.Command("go", "env", name).Output()
				if err != nil {
					return err
				}
				env.Setenv(name, string(out[:len(out)-1]))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs a command and compares its exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
