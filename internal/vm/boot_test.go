package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// Guests that really end in each way.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		mode string
		want Reason
	}{
		{"", PowerOff}, {"panic", Panicked}, {"exit", Panicked}, {"triple reboot=t", Reset}, {"reboot", Reset},
	} {
		t.Run("mode="+c.mode, func(t *testing.T) {
			got := boot(t, machine(t, c.mode), Options{})
			if got.Reason != c.want {
				t.Errorf("ended by %s (%s), want %s; console:\n%s", got.Reason, got.Detail, c.want, got.ConsoleTail)
			}
			t.Logf("%s: %+v; last event to exit %v", got.Reason, got.Times, got.Times.End-got.Events[len(got.Events)-1].After)
		})
	}
}

// A panic before the console's driver is up is on the console too, and nothing
// but the kernel speaks there.
func TestEarlyPanicIsSeen(t *testing.T) {
	m := machine(t, "")
	m.Append = []string{"mem=1M"}
	got := boot(t, m, Options{Silence: 10 * time.Second})
	text := got.console.String()
	if !strings.Contains(text, "Kernel panic - not syncing") || !strings.HasPrefix(text, "[    0.000000] Linux version") {
		t.Errorf("ended by %s (%s): %s", got.Reason, got.Detail, text)
	}
}

func TestBootFloodsConsole(t *testing.T) {
	const limit = 100 << 10
	got := boot(t, machine(t, "flood"), Options{MaxConsole: limit, Deadline: 10 * time.Minute})
	text := got.console.String()
	if got.Reason != PowerOff || len(text) > limit+100 || !got.Cut {
		t.Errorf("ended by %s, %d bytes, cut %t", got.Reason, len(text), got.Cut)
	}
	for _, want := range []string{"Linux version", "bytes left out here]", "the flood is over"} {
		if !strings.Contains(text, want) {
			t.Errorf("console lacks %q", want)
		}
	}
	t.Logf("%d bytes of console in %v", got.ConsoleBytes, got.Times.End-got.Times.Hello)
}

// Unbounded, the same flood loses nothing.
func TestBootFloodIsWhole(t *testing.T) {
	got := boot(t, machine(t, "flood"), Options{Deadline: 10 * time.Minute})
	if n := strings.Count(got.console.String(), strings.Repeat("flood ", 20)); n != 20000 || got.Cut {
		t.Errorf("%d of 20000 lines, cut %t", n, got.Cut)
	}
}

func TestBootSpillsResults(t *testing.T) {
	got := boot(t, machine(t, "spill"), Options{})
	if len(got.records) != 2003 || got.BadLines != 0 || got.records[2002].Type != wire.Done {
		t.Errorf("%d records of 2003, %d bad lines", len(got.records), got.BadLines)
	}
	d := got.Times.End - got.Times.FirstOut
	t.Logf("%d bytes of results in %v: %.1f MB/s", got.ResultBytes, d, float64(got.ResultBytes)/d.Seconds()/1e6)
}

func TestBootFallsSilent(t *testing.T) {
	const silence = 20 * time.Second
	got := boot(t, machine(t, "silent"), Options{Silence: silence, Deadline: 5 * time.Minute})
	if got.Reason != Silence || got.Times.Hello == 0 || got.Times.End < got.Times.Hello+silence {
		t.Errorf("ended by %s (%s), %+v", got.Reason, got.Detail, got.Times)
	}
}

func TestBootDevices(t *testing.T) {
	m := machine(t, "disk")
	dir := t.TempDir()
	image := filepath.Join(dir, "a,b.img")
	if err := os.WriteFile(image, slices.Concat([]byte("on the disk"), make([]byte, 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Disks = []Disk{{Path: image, ReadOnly: true, Serial: "scratch"}}
	m.Shares = []Share{{Tag: "share", Dir: dir, ReadOnly: true}}
	m.Net = true
	got := boot(t, m, Options{})
	answers := map[string]string{}
	for _, r := range got.records {
		answers[r.ID] += r.Text
	}
	for id, want := range map[string]string{"disk": "on the disk", "serial": "scratch", "share": "shared", "net": "1"} {
		if !strings.HasPrefix(answers[id], want) {
			t.Errorf("%s: %q, want %q", id, answers[id], want)
		}
	}
}

// A terminal types one line when the guest is ready.
type typist struct {
	bytes.Buffer
	ready chan struct{}
	once  sync.Once
	typed bool
}

func (t *typist) Write(p []byte) (int, error) {
	t.once.Do(func() { close(t.ready) })
	return t.Buffer.Write(p)
}

func (t *typist) Read(p []byte) (int, error) {
	<-t.ready
	if t.typed {
		select {}
	}
	t.typed = true
	return copy(p, "hello\r"), nil
}

func TestBootTerminal(t *testing.T) {
	m := machine(t, "tty")
	m.TTY = true
	tty := &typist{ready: make(chan struct{})}
	got := boot(t, m, Options{TTY: tty})
	if got.Reason != PowerOff || !strings.Contains(tty.String(), `got "hello\n" <nil>`) {
		t.Errorf("ended by %s, terminal %q", got.Reason, tty.String())
	}
}

// Two archives reach the guest as one root file system.
func TestBootJoinsArchives(t *testing.T) {
	m := machine(t, "")
	empty := filepath.Join(t.TempDir(), "empty.cpio")
	if err := os.WriteFile(empty, archive(t), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Initrd = []string{empty, m.Initrd[0]}
	if got := boot(t, m, Options{}); got.Reason != PowerOff {
		t.Errorf("ended by %s: %s", got.Reason, got.ConsoleTail)
	}
}

// Two cold boots say the same, byte for byte, beside a busy host too, and
// another seed says something else.
func TestDeterministic(t *testing.T) {
	m := machine(t, "random")
	m.Deterministic = true
	o := Options{Deadline: 10 * time.Minute}
	want := boot(t, m, o)
	check := func(name string) {
		got := boot(t, m, o)
		if !bytes.Equal(got.console.Bytes(), want.console.Bytes()) {
			t.Errorf("%s: consoles differ: %s", name, difference(got.console.String(), want.console.String()))
		}
		if !bytes.Equal(got.results.Bytes(), want.results.Bytes()) {
			t.Errorf("%s: results differ: %s", name, difference(got.results.String(), want.results.String()))
		}
	}
	check("second boot")
	stop := burn(*loadFlag)
	check("under load")
	stop()
	check("third boot")
	m.Seed = 7
	if got := boot(t, m, o); bytes.Equal(got.results.Bytes(), want.results.Bytes()) {
		t.Error("another seed makes no difference")
	}
	t.Logf("%d console bytes, %d result bytes, %v", want.console.Len(), want.results.Len(), want.Times)
}

// difference shows the first line in which a and b differ.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d: %q, %q", i+1, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}

// A minute of sleep in the guest is none on the host.
func TestDeterministicSleepsFast(t *testing.T) {
	m := machine(t, "sleep")
	m.Deterministic = true
	got := boot(t, m, Options{})
	if got.Reason != PowerOff || got.Times.End > 50*time.Second {
		t.Errorf("ended by %s after %v", got.Reason, got.Times.End)
	}
	t.Logf("%v", got.Times)
}

// The guest's clock keeps up with the host's on a busy host.
func TestClockKeepsUp(t *testing.T) {
	m := machine(t, "sleep")
	defer burn(*loadFlag)()
	got := boot(t, m, Options{Deadline: 10 * time.Minute})
	slept := got.Times.End - got.Times.FirstOut
	if got.Reason != PowerOff || slept < 58*time.Second || slept > 70*time.Second {
		t.Errorf("ended by %s; a minute in the guest took %v", got.Reason, slept)
	}
}

// Every boot of many comes through, two at a time, on a busy host.
func TestBoots(t *testing.T) {
	m := machine(t, "")
	defer burn(*loadFlag)()
	var next, good atomic.Int64
	var hello []time.Duration
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for next.Add(1) <= int64(*bootsFlag) {
				res, err := Run(context.Background(), m, Options{Silence: time.Minute, Deadline: 3 * time.Minute})
				if err != nil || res.Reason != PowerOff || res.Times.Hello == 0 {
					t.Errorf("boot: %v, %+v", err, res)
					continue
				}
				if n := good.Add(1); n%10 == 0 {
					t.Logf("%d boots, the last with hello after %v", n, res.Times.Hello)
				}
				mu.Lock()
				hello = append(hello, res.Times.Hello)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(hello)
	if n := len(hello); n > 0 {
		t.Logf("%d of %d boots; hello after %v (min), %v (median), %v (max)", good.Load(), *bootsFlag, hello[0], hello[n/2], hello[n-1])
	}
}

// burn keeps n threads busy until the returned function is called.
func burn(n int) func() {
	var stop atomic.Bool
	var all sync.WaitGroup
	old := runtime.GOMAXPROCS(runtime.NumCPU() + n)
	for range n {
		all.Go(func() {
			runtime.LockOSThread()
			for !stop.Load() {
			}
		})
	}
	return func() {
		stop.Store(true)
		all.Wait()
		runtime.GOMAXPROCS(old)
	}
}

// Verdicts of a panicking and of a healthy guest that run together stay apart.
func TestTwoAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for mode, want := range map[string]Reason{"panic": Panicked, "": PowerOff} {
		m := machine(t, mode)
		all.Go(func() {
			got := boot(t, m, Options{Deadline: 5 * time.Minute})
			if got.Reason != want || strings.Contains(got.console.String(), "Kernel panic") != (want == Panicked) {
				t.Errorf("mode %q ended by %s: %s", mode, got.Reason, got.ConsoleTail)
			}
		})
	}
	all.Wait()
}
