package rsplice

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// passedSocket is the descriptor by which a process gets a pipe.
	passedSocket = 3
	nobody       = 65534
)

// fillForAnother gets a pipe, fills what is in it from a file, tries to read
// what is left and prints the results.
func fillForAnother(source string) error {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(passedSocket, make([]byte, 1), oob, 0)
	if err != nil {
		return fmt.Errorf("receive a pipe: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return fmt.Errorf("receive a pipe: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return fmt.Errorf("receive a pipe: %w", err)
	}
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	_, readErr := unix.Read(fds[0], make([]byte, 10))
	var off int64
	filled, fillErr := rsplice.Fill(fds[0], int(f.Fd()), &off, 1<<20, 0)
	_, err = fmt.Println(readErr == unix.EACCES, filled, fillErr)
	return err
}

// A process that was given the pipe, and nothing else, may fill, and no more.
func TestPassedPipeDelegatesTheFill(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		page := guest.PageSize()
		showAll(t, s.source.Name())
		r := s.read(t, 0, page)
		req := s.next(t)
		s.claim(t, req)
		if got, want := passPipe(t, s.pipe[0], s.source.Name()), fmt.Sprintf("true %d <nil>\n", req.size); got != want {
			t.Errorf("refused to read, filled: %q, want %q", got, want)
		}
		if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
			t.Errorf("reply: %v", err)
		}
		r.gets(t, s, page)

		last := s.size - int64(page)
		r = s.read(t, last, page)
		req = s.next(t)
		s.claim(t, req)
		if err := s.replyData(req, req.size); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("true 0 %v\n", unix.ECANCELED)
		if got := passPipe(t, s.pipe[0], s.source.Name()); got != want {
			t.Errorf("after the reply: %q, want %q", got, want)
		}
		r.gets(t, s, page)
	})
}

// showAll lets everybody reach a file.
func showAll(t *testing.T, path string) {
	t.Helper()
	for ; path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// passPipe gives a pipe to a process of nobody's and returns what it says.
func passPipe(t *testing.T, pipe int, source string) string {
	t.Helper()
	near, far := newSocket(t)
	dup, err := unix.Dup(far)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "socket")
	defer f.Close()
	if err := unix.Sendmsg(near, []byte{0}, unix.UnixRights(pipe), nil, 0); err != nil {
		t.Fatal(err)
	}
	child := as("fill", source)
	child.ExtraFiles = []*os.File{f}
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := child.Output()
	if err != nil {
		t.Fatalf("process of nobody: %v", err)
	}
	return string(out)
}

// unprivileged are the tests that TestUnprivilegedServer runs.
const unprivileged = "^(TestReaderGetsWhatWasFilled|TestDirectFillsWithoutAPipe|TestReplyWithAHoleIsRefused|" +
	"TestErrorReplyEndsAFill|TestForcedUnmountEndsAFill|TestEmptyBuffersCannotBeRead)$"

// A server needs no privilege: everything works in a user namespace that nobody
// has made, with no capability outside of it.
func TestUnprivilegedServer(t *testing.T) {
	need(t)
	if os.Getuid() != 0 || os.Getenv(envNamespace) != "" {
		t.Skip("runs the tests as nobody, once")
	}
	if err := os.Chmod("/dev/fuse", 0o666); err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	showAll(t, tmp)
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", unprivileged)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, envNamespace+"=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{NoSetGroups: true}, // root, there
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("tests of nobody: %v\n%s", err, out)
	}
	if passed := strings.Count(string(out), "\n--- PASS"); passed != strings.Count(unprivileged, "Test") {
		t.Errorf("%d tests passed, want each\n%s", passed, out)
	}
}

// envNamespace says that the tests run in a user namespace.
const envNamespace = "RSPLICE_NAMESPACE"
