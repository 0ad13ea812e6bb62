package sh

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestQuoteIsReadBackByAShell(t *testing.T) {
	args := []string{"plain", "", "two words", `it's`, `$(false) "x" \`, "a=b", "line\nline", "~root", "*"}
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+Quote(args...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(got) != len(args) {
		t.Fatalf("%d arguments came back of %d: %q", len(got), len(args), got)
	}
	for i := range args {
		if got[i] != args[i] {
			t.Errorf("argument %d: %q, want %q", i, got[i], args[i])
		}
	}
}

func TestEchoedLineCanBePasted(t *testing.T) {
	var echo bytes.Buffer
	dir := t.TempDir()
	cmd := Runner{Echo: &echo}.Command(t.Context(), dir, "sh", "-c", `echo "$WORD in $(pwd)"`).With("WORD=a b")
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("sh", "-c", strings.TrimPrefix(echo.String(), "+ ")).Output()
	if err != nil {
		t.Fatalf("paste %q: %v", echo.String(), err)
	}
	if string(got) != string(want) || !strings.Contains(string(got), "a b in "+dir) {
		t.Errorf("pasted line printed %q, the command %q", got, want)
	}
}

func TestErrorIsOneLineWithTheReason(t *testing.T) {
	err := Runner{}.Command(t.Context(), "", "sh", "-c", "echo one >&2; echo two >&2; exit 3").Run()
	if err == nil || err.Error() != "sh: exit status 3: two" {
		t.Errorf("error %q", err)
	}
	if ExitCode(err) != 3 {
		t.Errorf("exit code %d, want 3", ExitCode(err))
	}
}

func TestCancelEndsGrandchildren(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := Runner{}.Command(ctx, "", "sh", "-c", "sleep 60 & wait").Run()
	if err == nil {
		t.Fatal("a cancelled command succeeded")
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("returned after %v", d)
	}
}

func TestOutputIsBounded(t *testing.T) {
	_, err := Runner{}.Command(t.Context(), "", "head", "-c", "20000000", "/dev/zero").Output()
	if err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("error %v", err)
	}
}
