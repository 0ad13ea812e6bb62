package vm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary, started by a name that begins with one of these, is a QEMU
// that plays the scene named behind it, or a runvm that boots such a QEMU.
const (
	qemuPrefix  = "qemu-"
	runvmPrefix = "runvm-"
)

func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if scene, ok := strings.CutPrefix(name, qemuPrefix); ok {
		play(scene)
		return
	}
	if _, ok := strings.CutPrefix(name, runvmPrefix); ok {
		bootAndWait(os.Args[1])
		return
	}
	os.Exit(m.Run())
}

// standIn returns a machine whose QEMU plays the scene.
func standIn(t *testing.T, scene string) Machine {
	t.Helper()
	return Machine{QEMU: alias(t, qemuPrefix+scene), Kernel: os.DevNull, MemoryMiB: 256, CPUs: 1, Accel: Accel{Name: TCG}}
}

// alias returns a path of the test binary that ends in name.
func alias(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// bootAndWait is a runvm whose guest never ends.
func bootAndWait(qemu string) {
	m := Machine{QEMU: qemu, Kernel: os.DevNull, MemoryMiB: 256, CPUs: 1, Accel: Accel{Name: TCG}}
	_, err := Run(context.Background(), m, Options{Console: os.Stdout})
	fmt.Println("over", err)
}

// A stage is the stand-in's side of the channels; in reads qmp.
type stage struct {
	console, results, qmp *os.File
	in                    *bufio.Reader
}

// until reads commands up to the one named.
func (s stage) until(command string) {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			os.Exit(2)
		}
		if strings.Contains(line, `"execute":"`+command+`"`) {
			return
		}
	}
}

func (s stage) event(name, data string) {
	fmt.Fprintf(s.qmp, `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": %q, "data": %s}`+"\r\n", name, data)
}

func (s stage) shutdown(reason string) {
	s.event("SHUTDOWN", fmt.Sprintf(`{"guest": true, "reason": %q}`, reason))
}

// play is QEMU: it greets, waits until it may start, and does as told.
func play(scene string) {
	if scene == "knows no memory" && slices.Contains(os.Args, "-object") {
		fmt.Fprintln(os.Stderr, "qemu: 'ivshmem-plain' is not a valid device model name")
		os.Exit(1)
	}
	if scene == "refuses" {
		fmt.Fprintln(os.Stderr, "first complaint\nqemu: no such machine")
		os.Exit(1)
	}
	qmp := os.NewFile(6, "qmp")
	s := stage{os.NewFile(3, "console"), os.NewFile(4, "results"), qmp, bufio.NewReader(qmp)}
	fmt.Fprintln(s.qmp, `{"QMP": {"version": {}, "capabilities": []}}`)
	if option("-incoming") != "" {
		s.until("migrate-incoming")
		scene += " on"
	} else {
		s.until("cont")
	}
	fmt.Fprintln(s.qmp, `{"return": {}}`)
	scenes[scene](s)
}

// option is the value of a QEMU option, "" when it is not given.
func option(name string) string {
	if i := slices.Index(os.Args, name); i > 0 {
		return os.Args[i+1]
	}
	return ""
}

var scenes = map[string]func(stage){
	"power-off": func(s stage) {
		fmt.Fprint(s.console, "Linux version 6.12\n")
		fmt.Fprint(s.results, `{"t":"hello"}`+"\n"+`{"t":"out","text":"ok"}`+"\n"+`{"t":"done"}`+"\n")
		s.shutdown("guest-shutdown")
	},
	"knows no memory": func(s stage) {
		fmt.Fprint(s.console, "booted\n")
		s.shutdown("guest-shutdown")
	},
	"panic": func(s stage) {
		s.event("GUEST_PANICKED", `{"action": "run"}`)
		fmt.Fprint(s.console, "Kernel panic - not syncing\n")
		s.shutdown("guest-reset")
	},
	"reset":   func(s stage) { s.shutdown("guest-reset") },
	"lingers": func(s stage) { s.shutdown("guest-shutdown"); time.Sleep(time.Minute) },
	"told":    func(s stage) { s.shutdown("host-signal") },
	"crashes": func(stage) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); time.Sleep(time.Minute) },
	"leaves":  func(stage) {},
	"silent":  func(s stage) { fmt.Fprintln(s.console, os.Getpid()); time.Sleep(time.Minute) },
	"chatters": func(s stage) {
		for range 6000 {
			fmt.Fprintln(s.console, "tick")
			time.Sleep(10 * time.Millisecond)
		}
	},
	"floods": func(s stage) {
		fmt.Fprint(s.console, "first\n")
		for range 1000 {
			fmt.Fprint(s.console, strings.Repeat("x", 999), "\n")
		}
		fmt.Fprint(s.console, "last\n")
		s.shutdown("guest-shutdown")
	},
	"spills": func(s stage) {
		fmt.Fprintln(s.results, `{"t":"hello"}`)
		for range 100 {
			fmt.Fprintf(s.results, `{"t":"out","text":%q}`+"\n", strings.Repeat("x", 1000))
		}
		fmt.Fprint(s.results, `{"t":"done"}`+"\n"+`{"t":"ex`)
		s.shutdown("guest-shutdown")
	},
	"babbles": func(s stage) {
		_, _ = s.results.Write(make([]byte, 1<<20))
		fmt.Fprint(s.results, "\nnot json\n[]\n{}\n"+`{"t":"done","new":1}`+"\n")
		s.shutdown("guest-shutdown")
	},
	"answers": func(s stage) {
		answer(s, "chardev-send-break", "chardev-send-break", "chardev-send-break", "chardev-send-break")
	},
	"is deaf": func(s stage) { answer(s, "inject-nmi") },
	"is dead": func(s stage) {
		fmt.Fprint(s.console, "busy\n")
		s.until("human-monitor-command")
		fmt.Fprintln(s.qmp, `{"return": "CPU#0\r\nRAX=0 RIP=ffffffff81000000"}`)
		time.Sleep(time.Minute)
	},
	"saves":     save,
	"saves on":  goOn,
	"spoils":    save,
	"spoils on": spoil,
	"begins":    func(s stage) { fmt.Fprint(s.console, "<"); time.Sleep(time.Minute) },
	"gives-up":  func(s stage) { fmt.Fprint(s.console, "<"); s.shutdown("guest-reset") },
	"completes": func(s stage) { fmt.Fprint(s.console, "<>"); s.shutdown("guest-reset") },
	"garbles":   func(s stage) { fmt.Fprintln(s.qmp, "QEMU 7.2 monitor"); time.Sleep(time.Minute) },
	"says-no": func(s stage) {
		fmt.Fprintln(s.qmp, `{"error": {"class": "GenericError", "desc": "Resetting the VM is required"}}`)
		time.Sleep(time.Minute)
	},
}

// answer is a guest that says nothing but, when asked so, what it was asked.
func answer(s stage, commands ...string) {
	fmt.Fprint(s.console, "busy\n")
	keys := os.NewFile(5, "keys")
	for _, command := range commands {
		s.until(command)
		key := []byte("-")
		if command == "chardev-send-break" {
			_, _ = keys.Read(key)
		}
		fmt.Fprintf(s.console, "answer %s\n", key)
	}
	time.Sleep(time.Minute)
}

// save is a guest that gets ready and is saved.
func save(s stage) {
	fmt.Fprint(s.console, "booted\n")
	fmt.Fprint(s.results, `{"t":"hello"}`+"\n"+`{"t":"ready"}`+"\n")
	s.until("migrate")
	s.event("MIGRATION", `{"status": "completed"}`)
	s.until("quit")
	s.shutdown("host-qmp-quit")
}

// goOn is the guest that goes on from there; it tells its payload.
func goOn(s stage) {
	s.event("MIGRATION", `{"status": "active"}`)
	s.event("MIGRATION", `{"status": "completed"}`)
	s.until("cont")
	for i, arg := range os.Args {
		_, rest, _ := strings.Cut(arg, "id=payload,")
		_, path, found := strings.Cut(rest, "mem-path=")
		if path, _, _ = strings.Cut(path, ","); found && os.Args[i-1] == "-object" {
			text, err := os.ReadFile(path)
			fmt.Fprintf(s.console, "went on with %d bytes %v: %q\n", len(text), err, bytes.TrimRight(text, "\x00"))
		}
	}
	fmt.Fprint(s.results, `{"t":"out","text":"ok"}`+"\n"+`{"t":"done"}`+"\n")
	s.shutdown("guest-shutdown")
}

// spoil is a guest that cannot go on the first time.
func spoil(s stage) {
	if os.Mkdir(os.Args[0]+".again", 0o755) != nil {
		goOn(s)
		return
	}
	s.event("MIGRATION", `{"status": "failed"}`)
	time.Sleep(time.Minute)
}

// goneWithin says whether process pid ends, a zombie counting as ended.
func goneWithin(pid int, d time.Duration) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(state, "Z") {
			return true
		}
	}
	return false
}
