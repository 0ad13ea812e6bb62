package vm

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/internal/wire"
)

func TestRunTellsHowItEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scene   string
		want    Reason
		detail  string
		options Options
	}{
		{scene: "power-off", want: PowerOff, detail: "powered off"},
		{scene: "lingers", want: PowerOff, detail: "powered off"},
		{scene: "panic", want: Panicked, detail: "panicked"},
		{scene: "reset", want: Reset, detail: "reset"},
		{scene: "told", want: Killed, detail: "somebody else"},
		{scene: "leaves", want: QEMUExit, detail: "exit status 0"},
		{scene: "crashes", want: QEMUExit, detail: "signal: killed"},
		{scene: "refuses", want: QEMUExit, detail: "exit status 1: qemu: no such machine"},
		{scene: "silent", want: Silence, detail: "for 200ms", options: Options{Silence: 200 * time.Millisecond}},
		{scene: "chatters", want: Deadline, detail: "after 3s", options: Options{Silence: 2 * time.Second, Deadline: 3 * time.Second}},
		{scene: "silent", want: Deadline, detail: "after 100ms", options: Options{Deadline: 100 * time.Millisecond}},
	} {
		t.Run(c.scene, func(t *testing.T) {
			t.Parallel()
			got := boot(t, standIn(t, c.scene), c.options)
			if got.Reason != c.want || !strings.Contains(got.Detail, c.detail) {
				t.Errorf("ended by %s (%s), want %s (… %s)", got.Reason, got.Detail, c.want, c.detail)
			}
			if !c.options.clocked() && got.Times.End > 30*time.Second {
				t.Errorf("waited for %v", got.Times.End)
			}
		})
	}
}

func (o *Options) clocked() bool { return o.Silence > 0 || o.Deadline > 0 }

func TestRunCopiesBothChannels(t *testing.T) {
	t.Parallel()
	got := boot(t, standIn(t, "power-off"), Options{})
	if got.console.String() != "Linux version 6.12\n" {
		t.Errorf("console %q", got.console.String())
	}
	if len(got.records) != 3 || got.records[0].Type != wire.Hello || got.records[2].Type != wire.Done {
		t.Errorf("records %+v", got.records)
	}
	if strings.Count(got.results.String(), "\n") != 3 || got.ResultBytes != int64(got.results.Len()) {
		t.Errorf("results %q, %d bytes", got.results.String(), got.ResultBytes)
	}
	x := got.Times
	if x.FirstConsole == 0 || x.Hello == 0 || x.FirstOut < x.Hello || x.End < x.FirstOut {
		t.Errorf("times %+v", x)
	}
	if len(got.Events) != 1 || got.Events[0].Name != "SHUTDOWN" || got.Args[0] == "" {
		t.Errorf("events %+v, args %q", got.Events, got.Args)
	}
}

func TestRunBoundsAFlood(t *testing.T) {
	t.Parallel()
	got := boot(t, standIn(t, "floods"), Options{MaxConsole: 40 << 10})
	text := got.console.String()
	if len(text) > 41<<10 || !strings.HasPrefix(text, "first\n") || !strings.HasSuffix(text, "\nlast\n") {
		t.Errorf("%d bytes: %.20q … %q", len(text), text, text[len(text)-20:])
	}
	if n := strings.Count(text, "bytes left out here]\n"); n != 1 || !got.Cut {
		t.Errorf("the cut is said %d times, Cut %t", n, got.Cut)
	}
	if want := int64(1000*1000 + len("first\nlast\n")); got.ConsoleBytes != want {
		t.Errorf("%d console bytes, want %d", got.ConsoleBytes, want)
	}
}

func TestRunBoundsResultsButKeepsTheirEnd(t *testing.T) {
	t.Parallel()
	got := boot(t, standIn(t, "spills"), Options{MaxResults: 10 << 10})
	last := got.records[len(got.records)-2:]
	if last[0].Type != wire.Done || last[1].Type != wire.Error || !strings.Contains(last[1].Text, "left out") {
		t.Errorf("last records %+v", last)
	}
	if got.results.Len() > 11<<10 || !got.Cut || got.BadLines != 1 {
		t.Errorf("%d bytes, cut %t, bad %d", got.results.Len(), got.Cut, got.BadLines)
	}
}

func TestRunSurvivesBabble(t *testing.T) {
	t.Parallel()
	got := boot(t, standIn(t, "babbles"), Options{})
	if got.BadLines != 4 || len(got.records) != 1 || got.records[0].Type != wire.Done {
		t.Errorf("%d bad lines, records %+v", got.BadLines, got.records)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	r, w := newLinePipe()
	go func() {
		<-r
		cancel(errors.New("interrupt"))
	}()
	res, err := Run(ctx, standIn(t, "silent"), Options{Console: w})
	if err != nil || res.Reason != Killed || !strings.Contains(res.Detail, "interrupt") {
		t.Fatalf("%+v, %v", res, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(res.ConsoleTail))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("QEMU %d is still there: %v", pid, err)
	}
}

// newLinePipe returns a channel that is closed by the first write.
func newLinePipe() (<-chan struct{}, *firstWrite) {
	w := &firstWrite{c: make(chan struct{})}
	return w.c, w
}

type firstWrite struct {
	c    chan struct{}
	done bool
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if !w.done {
		w.done = true
		close(w.c)
	}
	return len(p), nil
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestRunIsAnErrorWhenItCannotRecord(t *testing.T) {
	t.Parallel()
	for scene, want := range map[string]string{"chatters": "console: ", "spills": "results: "} {
		o := Options{Deadline: time.Minute}
		if scene == "spills" {
			o.Results = fullDisk{}
		} else {
			o.Console = fullDisk{}
		}
		_, err := Run(context.Background(), standIn(t, scene), o)
		if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", scene, err, want)
		}
	}
}

func TestRunIsAnErrorWhenQEMUIsNone(t *testing.T) {
	t.Parallel()
	for scene, want := range map[string]string{"garbles": "QMP: read QMP: ", "says-no": "QMP: QEMU refuses: Resetting"} {
		_, err := Run(context.Background(), standIn(t, scene), Options{Deadline: time.Minute})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", scene, err, want)
		}
	}
	m := standIn(t, "power-off")
	m.QEMU = "/nowhere/qemu"
	if _, err := Run(context.Background(), m, Options{}); !errors.Is(err, ErrNoQEMU) {
		t.Errorf("%v, want ErrNoQEMU", err)
	}
}

func TestRunNamesAMissingFile(t *testing.T) {
	t.Parallel()
	m := standIn(t, "power-off")
	m.Initrd = []string{"/nowhere/root.cpio"}
	if _, err := Run(context.Background(), m, Options{}); err == nil || err.Error() != "boot: stat /nowhere/root.cpio: no such file or directory" {
		t.Error(err)
	}
}

// A runvm that is killed without warning leaves no QEMU.
func TestQEMUDiesWithItsParent(t *testing.T) {
	t.Parallel()
	parent := exec.Command(alias(t, runvmPrefix+"parent"), alias(t, qemuPrefix+"silent"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if !goneWithin(pid, 10*time.Second) {
		t.Errorf("QEMU %d outlives its parent", pid)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
