package initramfs

import (
	"bytes"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// A host that reads slowly gets all records all the same, the last included:
// PID 1 does not power off before they are gone.
func TestGuestWaitsForASlowHost(t *testing.T) {
	t.Parallel()
	torture := compile(t, "build", "./testdata/torture")
	spec := Spec{
		Files: []File{{Path: "/t/torture", Source: torture, Mode: 0o755}},
		Plan:  wire.Plan{Tests: []wire.Test{{ID: "flood", Argv: []string{"/t/torture", "flood"}}}},
	}
	socket := filepath.Join(t.TempDir(), "results")
	cmd, _, _ := machine(t, spec)
	for i, arg := range cmd.Args {
		if bytes.HasPrefix([]byte(arg), []byte("file,id=res,")) {
			cmd.Args[i] = "socket,id=res,path=" + socket
		}
	}
	server, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var stream bytes.Buffer
	for buf := make([]byte, 8<<10); ; time.Sleep(20 * time.Millisecond) {
		n, err := conn.Read(buf)
		stream.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(stream.Bytes(), []byte(`"t":"exit"`)) || !bytes.Contains(stream.Bytes(), []byte(`"t":"done"`)) {
		t.Errorf("of %d bytes the last are %q", stream.Len(), stream.Bytes()[max(0, stream.Len()-200):])
	}
}
