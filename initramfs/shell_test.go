package initramfs

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// A terminal is the guest's hvc0.
type terminal struct {
	net.Conn
	said   chan string
	unread string
}

// startTerminal starts a guest and connects to its terminal at socket.
func startTerminal(t *testing.T, cmd *exec.Cmd, socket string) *terminal {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if conn, err := net.Dial("unix", socket); err == nil {
			term := &terminal{Conn: conn, said: make(chan string, 1000)}
			go term.read()
			return term
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no terminal")
	return nil
}

func (c *terminal) read() {
	defer close(c.said)
	for {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		c.said <- string(buf[:n])
		if err != nil {
			return
		}
	}
}

// expect returns when text has come.
func (c *terminal) expect(t *testing.T, text string) {
	t.Helper()
	for timeout := time.After(time.Minute); ; {
		if _, rest, ok := strings.Cut(c.unread, text); ok {
			c.unread = rest
			return
		}
		select {
		case part, ok := <-c.said:
			c.unread += part
			if !ok {
				t.Fatalf("the terminal closed without %q; it said %q", text, c.unread)
			}
		case <-timeout:
			t.Fatalf("the terminal never said %q, but %q", text, c.unread)
		}
	}
}

func TestGuestShell(t *testing.T) {
	t.Parallel()
	spec := Spec{Commands: true, Plan: wire.Plan{Tests: []wire.Test{{
		ID: "shell", Argv: []string{"/bin/sh"}, TTY: "hvc0", Rows: 33, Cols: 77,
	}}}}
	socket := filepath.Join(t.TempDir(), "tty")
	cmd, console, results := machine(t, spec,
		"-chardev", "socket,id=tty,server=on,wait=off,path="+socket, "-device", "virtconsole,chardev=tty")
	term := startTerminal(t, cmd, socket)
	defer term.Close()
	for _, dialogue := range [][]string{
		{"echo $((6*7))tytwo", "42tytwo"}, {"stty", "33", "77"}, {"ls /bin/ls | tr l L", "Ls"}, {"exit"}, // with a code u-root's shell reports it and stays
	} {
		term.expect(t, "$ ")
		if _, err := term.Write([]byte(dialogue[0] + "\n")); err != nil {
			t.Fatal(err)
		}
		for _, text := range dialogue[1:] {
			term.expect(t, text)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	g := recorded(t, console, results)
	if exit := g.exit(t, "shell"); exit.Code != 0 || exit.Signal != 0 {
		t.Errorf("exit %+v", exit)
	}
}

func TestGuestRunsScripts(t *testing.T) {
	t.Parallel()
	script, err := NewProgram("testdata/script.sh", "/t/script")
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, Spec{Commands: true, Files: script.Files, Plan: wire.Plan{Tests: []wire.Test{
		{ID: "script", Argv: []string{script.Path}, Dir: "/t"},
		{ID: "ls", Argv: []string{"ls", "/t"}},
	}}})
	if got := g.output("script", 1); got != "script in /t\n3 lines\n" || g.exit(t, "script").Code != 5 {
		t.Errorf("script wrote %q, exit %+v", got, g.exit(t, "script"))
	}
	if got := g.output("ls", 1); got != "script\n" || g.exit(t, "ls").Code != 0 {
		t.Errorf("ls wrote %q, exit %+v", got, g.exit(t, "ls"))
	}
}

// A dynamic binary of the host, as cgo makes them, runs with its libraries.
func TestGuestRunsDynamicBinaries(t *testing.T) {
	t.Parallel()
	host, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no dynamic binary to try: ", err)
	}
	bash, err := NewProgram(host, "/t/bash")
	if err != nil {
		t.Fatal(err)
	}
	if len(bash.Files) < 3 {
		t.Skip("bash is static here")
	}
	g := boot(t, Spec{Files: bash.Files, Plan: wire.Plan{Tests: []wire.Test{
		{ID: "bash", Argv: []string{"/t/bash", "-c", "echo $BASH_VERSION >&2; exit 6"}},
	}}})
	if exit := g.exit(t, "bash"); exit.Code != 6 || g.output("bash", 2) == "" {
		t.Errorf("exit %+v, %q", exit, g.output("bash", 2))
	}
}
