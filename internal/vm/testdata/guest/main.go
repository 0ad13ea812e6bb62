// Command guest is a PID 1 that does what "mode=" on the kernel's command
// line says, so that package vm can be tested with kernels that really panic,
// hang and flood. Without a mode it powers off.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

func main() {
	mount("proc", "/proc")
	mount("sysfs", "/sys")
	mount("devtmpfs", "/dev")
	out := newPort()
	out.send(wire.Record{Type: wire.Hello, Version: wire.Version})
	out.send(wire.Record{Type: wire.Out, ID: "guest", Stream: 1, Text: "=== RUN TestGuest\n"})
	if run := modes[mode()]; run != nil {
		run(out)
	}
	out.send(wire.Record{Type: wire.Done})
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

var modes = map[string]func(*port){
	"panic":  func(*port) { sysrq("c"); forever() },
	"triple": func(*port) { sysrq("b"); forever() },
	"reboot": func(*port) { _ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART) },
	"exit":   func(*port) { os.Exit(3) },
	"silent": func(*port) { forever() },
	"sleep":  func(*port) { time.Sleep(time.Minute) },
	"flood":  floodConsole,
	"spill":  floodResults,
	"random": random,
	"disk":   disk,
	"tty":    tty,
	"ready":  ready,
}

// mount makes the directory too; devtmpfs may have been mounted by the kernel.
func mount(fs, dir string) {
	_ = os.MkdirAll(dir, 0o755)
	if err := syscall.Mount(fs, dir, fs, 0, ""); err != nil && err != syscall.EBUSY {
		fmt.Println("guest:", dir, err)
	}
}

func mode() string {
	line, _ := os.ReadFile("/proc/cmdline")
	for _, f := range strings.Fields(string(line)) {
		if m, ok := strings.CutPrefix(f, "mode="); ok {
			return m
		}
	}
	return ""
}

func sysrq(key string) { _ = os.WriteFile("/proc/sysrq-trigger", []byte(key), 0) }

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// A port is the result channel.
type port struct{ f *os.File }

func newPort() *port {
	for {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			name, _ := os.ReadFile(n)
			if strings.TrimSpace(string(name)) != wire.Port {
				continue
			}
			if f, err := os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0); err == nil {
				return &port{f}
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *port) send(r wire.Record) {
	line, _ := json.Marshal(r)
	_, _ = p.f.Write(append(line, '\n'))
}

func floodConsole(*port) {
	k, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		fmt.Println("guest:", err)
	}
	for range 20000 {
		fmt.Fprintln(k, strings.Repeat("flood ", 20))
	}
	fmt.Fprintln(k, "the flood is over")
}

func floodResults(p *port) {
	for range 2000 {
		p.send(wire.Record{Type: wire.Out, ID: "guest", Stream: 1, Text: strings.Repeat("x", 16<<10)})
	}
}

// random shows all that differs between two ordinary boots: random numbers,
// the clocks and the order in which goroutines run.
func random(p *port) {
	lines := make(chan string)
	start := time.Now()
	const workers, turns = 20, 100
	for i := range workers {
		go func() {
			for j := range turns {
				b := make([]byte, 8)
				_, _ = rand.Read(b)
				lines <- fmt.Sprintf("%d.%d %x %v %v\n", i, j, b, time.Since(start), time.Now())
			}
		}()
	}
	for i := range workers * turns {
		line := <-lines
		p.send(wire.Record{Type: wire.Out, ID: "guest", Stream: 1, Text: line})
		if i%20 == 0 {
			fmt.Print(line)
		}
	}
}

func disk(p *port) {
	text, err := os.ReadFile("/dev/vda")
	p.send(wire.Record{Type: wire.Out, ID: "disk", Text: fmt.Sprintf("%.20s %v", text, err)})
	serial, _ := os.ReadFile("/sys/block/vda/serial")
	p.send(wire.Record{Type: wire.Out, ID: "serial", Text: string(serial)})
	_ = os.Mkdir("/share", 0o755)
	err = syscall.Mount("share", "/share", "9p", syscall.MS_RDONLY, "trans=virtio,version=9p2000.L")
	text, _ = os.ReadFile("/share/file")
	p.send(wire.Record{Type: wire.Out, ID: "share", Text: fmt.Sprintf("%s %v", text, err)})
	nets, _ := filepath.Glob("/sys/class/net/eth*")
	p.send(wire.Record{Type: wire.Out, ID: "net", Text: fmt.Sprint(len(nets))})
}

// ready waits for a payload and sends all of it.
func ready(p *port) {
	found, _ := filepath.Glob("/sys/bus/pci/devices/*/resource2")
	for _, path := range found {
		id, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "device"))
		if strings.TrimSpace(string(id)) != wire.PayloadDevice {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			fmt.Println("guest:", err)
			return
		}
		memory, err := syscall.Mmap(int(f.Fd()), 0, wire.MaxPayload, syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			fmt.Println("guest:", err)
			return
		}
		p.send(wire.Record{Type: wire.Ready})
		for memory[0] == 0 {
			time.Sleep(time.Millisecond)
		}
		p.send(wire.Record{Type: wire.Out, ID: "guest", Text: strings.TrimRight(string(memory[4:16<<10]), "\x00")})
	}
}

// tty answers one line on hvc0.
func tty(*port) {
	f, err := os.OpenFile("/dev/hvc0", os.O_RDWR, 0)
	if err != nil {
		fmt.Println("guest:", err)
		return
	}
	fmt.Fprintln(f, "ready")
	line, err := bufio.NewReader(f).ReadString('\n')
	fmt.Fprintf(f, "got %q %v\n", line, err)
	time.Sleep(100 * time.Millisecond)
}
