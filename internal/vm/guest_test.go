package vm

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/runvm/runvm/internal/wire"
)

// The flags turn on the tests that boot a real kernel:
//
//	go test ./internal/vm -kernel path/to/vmlinux
//	go test ./internal/vm -run TestBoots -boots 200 -kernel path/to/vmlinux -timeout 1h
var (
	kernelFlag = flag.String("kernel", "", "vmlinux or bzImage that tests boot; none skips them")
	bootsFlag  = flag.Int("boots", 2, "number of boots in TestBoots")
	loadFlag   = flag.Int("load", 4, "number of busy threads beside the boots of TestBoots")
)

var buildGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "vm-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "./testdata/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(bin)
})

// machine returns one that boots testdata/guest in the given mode, or skips
// the test when no kernel was given.
func machine(t *testing.T, mode string) Machine {
	t.Helper()
	if *kernelFlag == "" {
		t.Skip("boots a kernel: run it with -kernel path/to/vmlinux")
	}
	init, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	text := archive(t, cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.StaticFile("init", string(init), 0o755))
	initrd := filepath.Join(t.TempDir(), "guest.cpio")
	if err := os.WriteFile(initrd, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return Machine{
		Kernel: *kernelFlag, Initrd: []string{initrd}, Append: []string{"mode=" + mode},
		MemoryMiB: 256, CPUs: 1, Accel: Accel{Name: TCG},
	}
}

// archive returns a cpio of records.
func archive(t *testing.T, records ...cpio.Record) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := cpio.Newc.Writer(&buf)
	if err := cpio.WriteRecordsAndDirs(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A recording is a finished run with what it said.
type recording struct {
	*Result
	console, results bytes.Buffer
	records          []wire.Record
}

// boot runs m with o's clocks and bounds, and a deadline when it has none:
// five minutes, for busy hosts.
func boot(t *testing.T, m Machine, o Options) *recording {
	t.Helper()
	rec := &recording{}
	o.Console, o.Results = &rec.console, &rec.results
	o.OnRecord = func(r wire.Record) { rec.records = append(rec.records, r) }
	if o.Deadline == 0 {
		o.Deadline = 5 * time.Minute
	}
	var err error
	if rec.Result, err = Run(context.Background(), m, o); err != nil {
		t.Fatalf("Run: %v", err)
	}
	return rec
}
