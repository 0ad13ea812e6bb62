package rsplice

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// envRead makes the test binary a reader: "offset length path".
	envRead = "RSPLICE_READ"
	// envExec makes it execute a file and print why it cannot.
	envExec = "RSPLICE_EXEC"
)

// TestMain runs the tests, or the reader they start.
func TestMain(m *testing.M) {
	if job := os.Getenv(envRead); job != "" {
		if err := readFile(job, os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
		return
	}
	if path := os.Getenv(envExec); path != "" {
		os.Stdout.WriteString(unix.Exec(path, []string{path}, nil).Error())
		return
	}
	m.Run()
}

// need skips a test where it cannot run.
func need(t *testing.T) {
	t.Helper()
	guest.Need(t)
	if !rsplice.Supported() {
		t.Skip("kernel has no rsplice(2)")
	}
}

// each runs a test with either kind of destination.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	need(t)
	t.Run("page-cache", func(t *testing.T) { test(t, mount(t, 0)) })
	t.Run("user-memory", func(t *testing.T) { test(t, mount(t, directIO)) })
}
