package rsplice

import (
	"os"
	"testing"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// envRead makes the test binary a reader: "offset length path".
const envRead = "RSPLICE_READ"

// TestMain runs the tests, or the reader they start.
func TestMain(m *testing.M) {
	if job := os.Getenv(envRead); job != "" {
		if err := readFile(job, os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
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
