package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

// envProgram makes the test binary the program.
const envProgram = "FUSESRV_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(envProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	m.Run()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-help"}, exitDone, "usage: fusesrv [flags] SRC MNT"},
		{[]string{"--help"}, exitDone, "copy, splice, splice-move, rsplice-pipe, rsplice-fill, rsplice-direct, passthrough, io_uring, io_uring-zc"},
		{nil, exitUsage, "want SRC and MNT, got 0 arguments"},
		{[]string{"a", "b", "c"}, exitUsage, "got 3 arguments"},
		{[]string{"-speed", "a", "b"}, exitUsage, "-speed"},
		{[]string{"-path", "teleport", ".", "b"}, exitError, `read path "teleport": unknown`},
		{[]string{"/nonexistent", "b"}, exitError, "no such file or directory"},
		{[]string{"-path", "passthrough", "-direct-io", ".", "b"}, exitError, "read path passthrough: it is for the reader"},
		{[]string{"-max-read", "5", ".", "b"}, exitError, "largest read of 5 bytes"},
	} {
		var out, err bytes.Buffer
		if code := run(c.args, &out, &err); code != c.code || !strings.Contains(err.String(), c.want) {
			t.Errorf("fusesrv %v: exit code %d, %q; want %d and %q", c.args, code, err.String(), c.code, c.want)
		}
		if out.Len() != 0 {
			t.Errorf("fusesrv %v printed %q", c.args, out.String())
		}
	}
}

// A program is a running fusesrv.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	mnt string
	out *bufio.Reader
	err *bufio.Reader
}

// startProgram mounts src and waits for the mount.
func startProgram(t *testing.T, src string, flags ...string) *program {
	t.Helper()
	return startProgramAs(t, nil, src, flags...)
}

// startProgramAs is startProgram for a process with attributes.
func startProgramAs(t *testing.T, attr *syscall.SysProcAttr, src string, flags ...string) *program {
	t.Helper()
	p := &program{t: t, mnt: t.TempDir()}
	p.cmd = exec.Command("/proc/self/exe", append(flags, src, p.mnt)...)
	p.cmd.Env = append(os.Environ(), envProgram+"=1")
	p.cmd.SysProcAttr = attr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out, p.err = bufio.NewReader(out), bufio.NewReader(errs)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended in a test that passes
	for end := time.Now().Add(20 * time.Second); !p.mounted(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not mounted after 20 s")
		}
	}
	return p
}

// mounted tells whether FUSE is on the mount point, as the program sees it.
func (p *program) mounted() bool {
	var st unix.Statfs_t
	seen := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", p.mnt)
	if p.cmd.ProcessState != nil { // it is gone; what it had alone went with it
		seen = p.mnt
	}
	return unix.Statfs(seen, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC
}

// signal sends s.
func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// endsWell waits for exit code 0 and the end of the mount.
func (p *program) endsWell() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("fusesrv ended with %v", err)
	}
	if p.mounted() {
		p.t.Error("still mounted")
	}
}

// readable makes a directory with a file f, and returns what is in that.
func readable(t *testing.T) (dir, text string) {
	t.Helper()
	dir, text = t.TempDir(), strings.Repeat("read me ", 1000)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, text
}

// statistics asks the program for them, and returns them as it writes them, too.
func (p *program) statistics(t *testing.T) (line []byte, s fusesrv.Stats) {
	t.Helper()
	p.signal(syscall.SIGUSR1)
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		t.Fatalf("statistics %s: %v", line, err)
	}
	return line, s
}

func TestSignals(t *testing.T) {
	guest.Need(t)
	for _, path := range fusesrv.Paths() {
		t.Run(path.Name, func(t *testing.T) {
			readtest.Need(t, path)
			src, want := readable(t)
			p := startProgram(t, src, "-path", path.Name)
			got, err := os.ReadFile(filepath.Join(p.mnt, "f"))
			if err != nil || string(got) != want {
				t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
			}
			line, s := p.statistics(t)
			if path.InKernel && (s.Passed != 1 || s.Reads != 0) {
				t.Errorf("statistics %s, want one file read by the kernel", line)
			}
			if !path.InKernel && (s.ReadBytes != uint64(len(want)) || s.Reads == 0 || s.Fallbacks != 0) {
				t.Errorf("statistics %s, want %d bytes read", line, len(want))
			}
			p.signal(syscall.SIGTERM)
			p.endsWell()
		})
	}
}

func TestSecondSignalEndsABusyMount(t *testing.T) {
	guest.Need(t)
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), []byte("f"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, src)
	h, err := os.Open(filepath.Join(p.mnt, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	p.signal(syscall.SIGINT)
	line, err := p.err.ReadString('\n')
	if err != nil || !strings.Contains(line, "busy") {
		t.Errorf("first signal: %q, %v", line, err)
	}
	if !p.mounted() {
		t.Error("unmounted with a file open")
	}
	p.signal(syscall.SIGINT)
	p.endsWell()
	if _, err := h.ReadAt(make([]byte, 1), 0); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.EIO) {
		t.Errorf("read after the end: %v, want an error of the connection", err)
	}
}

func TestUnmountEndsTheProgram(t *testing.T) {
	guest.Need(t)
	p := startProgram(t, t.TempDir())
	if err := unix.Unmount(p.mnt, 0); err != nil {
		t.Fatal(err)
	}
	p.endsWell()
}
