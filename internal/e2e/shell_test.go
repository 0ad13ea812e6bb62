//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
)

// TestShell types into the guest's shell as a person does, on a terminal.
func TestShell(t *testing.T) {
	console, err := expect.NewConsole(expect.WithDefaultTimeout(10 * time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	cmd := exec.Command(filepath.Join(repository(t), "runvm"), "shell", "-patches", series(t))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console.Tty(), console.Tty(), console.Tty()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ await, send string }{
		{"$ ", "echo hello $((40+2))\r"},
		{"hello 42", ""},
		{"$ ", "exit\r"},
	} {
		if out, err := console.ExpectString(step.await); err != nil {
			t.Fatalf("no %q: %v\n%s", step.await, err, out)
		}
		if _, err := console.Send(step.send); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("runvm shell: %v", err)
	}
}
