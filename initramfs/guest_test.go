package initramfs

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// The flag turns on the tests that boot a real kernel:
//
//	go test ./initramfs -kernel path/to/vmlinux
//
// They start QEMU by hand: what they test must not lean on internal/vm.
var kernelFlag = flag.String("kernel", "", "vmlinux that tests boot; none skips them")

// A guest is what a boot left.
type guest struct {
	console string
	records []wire.Record
}

// testBuilder keeps its parts in the package's own cache, as users do, so that
// the commands are compiled once.
func testBuilder(t *testing.T) *Builder {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache directory: ", err)
	}
	return &Builder{Cache: filepath.Join(dir, "runvm-test-initramfs")}
}

// compile builds a program below testdata.
func compile(t *testing.T, args ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", append([]string{args[0]}, append(args[1:len(args)-1:len(args)-1], "-o", binary, args[len(args)-1])...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return binary
}

// machine returns a command that boots spec; more are arguments for QEMU.
func machine(t *testing.T, spec Spec, more ...string) (cmd *exec.Cmd, console, results string) {
	t.Helper()
	if *kernelFlag == "" {
		t.Skip("boots a kernel: run it with -kernel path/to/vmlinux")
	}
	image, err := testBuilder(t).Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	if err := concatenate(initrd, image.Parts()); err != nil {
		t.Fatal(err)
	}
	console, results = filepath.Join(dir, "console"), filepath.Join(dir, "results")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	args := []string{
		"-accel", "tcg", "-machine", "q35,i8042=off", "-cpu", "max", "-m", "512", "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
		"-kernel", *kernelFlag, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 random.trust_cpu=on",
		"-chardev", "file,id=con,path=" + console, "-serial", "chardev:con",
		"-device", "virtio-serial-pci,ioeventfd=off",
		"-chardev", "file,id=res,path=" + results, "-device", "virtserialport,chardev=res,name=" + wire.Port,
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64", append(args, more...)...), console, results
}

func concatenate(file string, parts []string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	for _, part := range parts {
		in, err := os.Open(part)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// boot runs spec to its end.
func boot(t *testing.T, spec Spec, more ...string) *guest {
	t.Helper()
	cmd, console, results := machine(t, spec, more...)
	if out, err := cmd.CombinedOutput(); err != nil {
		text, _ := os.ReadFile(console)
		t.Fatalf("qemu: %v\n%s\n%s", err, out, text)
	}
	return recorded(t, console, results)
}

func recorded(t *testing.T, console, results string) *guest {
	t.Helper()
	text, err := os.ReadFile(console)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{console: string(text)}
	for line := range bytes.Lines(stream) {
		var r wire.Record
		if len(line) > wire.MaxLine {
			t.Errorf("a record of %d bytes", len(line))
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("record %.200q: %v", line, err)
		}
		if r.Type != wire.Pad {
			g.records = append(g.records, r)
		}
	}
	return g
}

// output is all that test id wrote to a stream.
func (g *guest) output(id string, stream int) string {
	var b strings.Builder
	for i := range g.records {
		if r := &g.records[i]; r.Type == wire.Out && r.ID == id && r.Stream == stream {
			b.Write(r.Bytes())
		}
	}
	return b.String()
}

// exit is the way that test id ended.
func (g *guest) exit(t *testing.T, id string) wire.Record {
	t.Helper()
	for _, r := range g.records {
		if r.Type == wire.Exit && r.ID == id {
			return r
		}
	}
	t.Fatalf("test %s has no exit record; console:\n%s", id, g.console)
	return wire.Record{}
}

// failures are what PID 1 could not do.
func (g *guest) failures() (texts []string) {
	for _, r := range g.records {
		if r.Type == wire.Error {
			texts = append(texts, r.ID+": "+r.Text)
		}
	}
	return texts
}

func TestGuestSurvivesTorture(t *testing.T) {
	t.Parallel()
	torture := compile(t, "build", "./testdata/torture")
	spec := Spec{
		Files: []File{{Path: "/t/torture", Source: torture, Mode: 0o755}},
		Plan:  wire.Plan{Hostname: "guest", Sysctls: map[string]string{"kernel.panic": "-5", "kernel.nonsense": "1"}},
	}
	things := []string{"children", "deaf", "flood", "signal", "mounts", "bytes", "controls", "exit", "stdin", "world"}
	for _, thing := range things {
		test := wire.Test{ID: thing, Argv: []string{"/t/torture", thing}, Dir: "/t", Env: []string{"X=y"}}
		if thing == "deaf" {
			test.Timeout = time.Second
		}
		spec.Plan.Tests = append(spec.Plan.Tests, test)
	}
	spec.Plan.Tests = append(spec.Plan.Tests, wire.Test{ID: "missing", Argv: []string{"/t/nothing"}})
	g := boot(t, spec)
	if last := g.records[len(g.records)-1]; last.Type != wire.Done {
		t.Errorf("the last record is %+v", last)
	}
	for id, want := range map[string]wire.Record{
		"children": {}, "deaf": {Code: 137, Signal: 9, TimedOut: true}, "flood": {}, "signal": {Code: 137, Signal: 9},
		"mounts": {}, "bytes": {}, "controls": {}, "exit": {Code: 7}, "stdin": {}, "world": {}, "missing": {Code: 127},
	} {
		got := g.exit(t, id)
		if got.Code != want.Code || got.Signal != want.Signal || got.TimedOut != want.TimedOut || got.Left != 0 {
			t.Errorf("%s ended with %+v, want %+v", id, got, want)
		}
	}
	checkOutput(t, g)
	if got := strings.Join(g.failures(), "; "); got != ": set sysctl kernel.nonsense: open /proc/sys/kernel/nonsense: no such file or directory; missing: run /t/nothing in /: no such file or directory" {
		t.Errorf("PID 1 complained: %s", got)
	}
}

func checkOutput(t *testing.T, g *guest) {
	t.Helper()
	var flood strings.Builder
	for i := range 400_000 {
		fmt.Fprintf(&flood, "%9d\n", i)
	}
	if got := g.output("flood", 1); got != flood.String() {
		t.Errorf("flood: %d bytes came, not the %d written", len(got), flood.Len())
	}
	if got := g.output("bytes", 1); got != "a\xffb\x00c\x01\x1b é \u2028\n" {
		t.Errorf("bytes: %q", got)
	}
	if got := g.output("bytes", 2); got != "err\n" {
		t.Errorf("bytes, standard error: %q", got)
	}
	if got := g.output("controls", 1); got != strings.Repeat("\x00", 200_000) {
		t.Errorf("controls: %d bytes", len(got))
	}
	if got := g.output("mounts", 1); got != "<nil>\n<nil>\n<nil>\n" {
		t.Errorf("mounts: %q", got)
	}
	if got := g.output("stdin", 1); got != "0 <nil>\n" {
		t.Errorf("stdin: %q", got)
	}
	const world = "args [world] dir /t host guest X y pgid true\n" +
		"/proc/self true\n/sys/kernel true\n/dev/null true\n/dev/fd true\n/tmp true\n/run true\n/dev/shm true\n/dev/ptmx true\n" +
		"/etc/passwd true\n/mnt/a b/c false\n/root true\nkernel.panic -5\n"
	if got := g.output("world", 1); got != world {
		t.Errorf("world:\n%s", got)
	}
	for _, line := range []string{"runvm: test children\n", "runvm: test mounts left a mount on /mnt/a b/c\n", "runvm: test mounts left a mount on /mnt/a b\n"} {
		if !strings.Contains(strings.ReplaceAll(g.console, "\r", ""), line) {
			t.Errorf("the console lacks %q", line)
		}
	}
}

// The mark of a test is on the console before the test can crash the kernel.
func TestGuestMarksTestsBeforeTheyRun(t *testing.T) {
	t.Parallel()
	binary := compile(t, "test", "-c", "./testdata/marks")
	for range 3 {
		g := boot(t, Spec{
			Files: []File{{Path: "/marks", Source: binary, Mode: 0o755}},
			Plan: wire.Plan{Tests: []wire.Test{{
				ID: "marks", Argv: []string{"/marks", "-test.v=test2json"}, Marks: true,
			}}},
		})
		var marks []string
		for line := range strings.Lines(g.console) {
			if _, mark, ok := strings.Cut(strings.TrimSpace(line), "runvm: === RUN "); ok {
				marks = append(marks, mark)
			}
		}
		if got := strings.Join(marks, " "); got != "TestFirst TestSubtests TestSubtests/one TestSubtests/two_words TestPanic" {
			t.Errorf("marks %s", got)
		}
		if !strings.Contains(g.console, "sysrq triggered crash") {
			t.Errorf("no panic on the console:\n%s", g.console)
		}
	}
}

// A Go test whose time is over says where its goroutines are.
func TestGuestTimeout(t *testing.T) {
	t.Parallel()
	binary := compile(t, "test", "-c", "./testdata/marks")
	g := boot(t, Spec{
		Files: []File{{Path: "/marks", Source: binary, Mode: 0o755}},
		Plan: wire.Plan{Tests: []wire.Test{{
			ID: "marks", Argv: []string{"/marks", "-test.v=test2json", "-test.run=TestSleep"}, Marks: true, Timeout: 10 * time.Second,
		}}},
	})
	if exit := g.exit(t, "marks"); !exit.TimedOut || exit.Code != 2 {
		t.Errorf("exit %+v", exit)
	}
	if out := g.output("marks", 1); !strings.Contains(out, "SIGQUIT: quit") || !strings.Contains(out, "marks.TestSleep") {
		t.Errorf("no goroutine dump:\n%s", out)
	}
}
