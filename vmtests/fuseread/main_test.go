package fuseread

import (
	"os"
	"testing"

	"github.com/runvm/runvm/fusesrv/readtest"
)

// TestMain runs the tests, or the part that one of them has given this process.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) {
		return
	}
	m.Run()
}
