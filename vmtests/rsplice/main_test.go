package rsplice

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// envRole makes the test binary another process that a test needs: the name of
// its role, and arguments.
const envRole = "RSPLICE_ROLE"

// roles are what such a process does; its error goes to standard error.
func roles() map[string]func(args string) error {
	return map[string]func(args string) error{
		"read":    func(args string) error { return readFile(args, os.Stdin, os.Stdout) },
		"exec":    execFile,
		"serve":   serveAndDie,
		"fill":    fillForAnother,
		"churn":   churn,
		"write":   writeFile,
		"hog":     hog,
		"periods": readPeriods,
	}
}

// TestMain runs the tests, or a process they start.
func TestMain(m *testing.M) {
	name, args, _ := strings.Cut(os.Getenv(envRole), " ")
	if role := roles()[name]; role != nil {
		if err := role(args); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
		return
	}
	m.Run()
}

// as makes a process with a role.
func as(role, args string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"="+role+" "+args)
	cmd.Stderr = os.Stderr
	return cmd
}

// execFile executes a file and prints why it cannot.
func execFile(path string) error {
	_, err := os.Stdout.WriteString(unix.Exec(path, []string{path}, nil).Error())
	return err
}

// need skips a test where it cannot run.
func need(t *testing.T) {
	t.Helper()
	guest.Need(t)
	if !rsplice.Supported() {
		guest.Lacks(t, "rsplice.want", "rsplice(2)")
	}
	if guest.Parameter(t, "rsplice.part", "") != "" && !rsplice.CanComplete() {
		t.Skip("kernel has a part of rsplice(2) only, as was said")
	}
}

// each runs a test with either kind of destination.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	need(t)
	t.Run("page-cache", func(t *testing.T) { test(t, mount(t, 0)) })
	t.Run("user-memory", func(t *testing.T) { test(t, mount(t, directIO)) })
}
