package fuseread

import (
	"fmt"
	"os"
	"testing"
)

// Environment variables that make the test binary another program.
const (
	envServe = "FUSEREAD_SERVE" // any value: serve as standard input says
	envRead  = "FUSEREAD_READ"  // a file: read all of it
)

// TestMain runs the tests, or what they start.
func TestMain(m *testing.M) {
	if os.Getenv(envServe) != "" {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
		}
		return
	}
	if name := os.Getenv(envRead); name != "" {
		if _, err := os.ReadFile(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}
