package vm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/wire"
)

// epoch is what the guest's clock starts from in deterministic mode.
const epoch = "2026-01-01T00:00:00"

// A device is a part of the machine: what QEMU and what the kernel must be
// told of it.
type device struct {
	qemu   []string
	kernel []string
}

// ends are QEMU's sides of the channels, as values of -chardev without an id.
type ends struct {
	console, results, tty string
	qmp                   string // "" is none: the guest then starts by itself
	initrd                string // "" is none
	keys                  string // file that the serial port reads when the guest is asked what it does
	ram                   string // file of the guest's memory, "" is none
	payload               string // file of the payload's memory, "" is none
	resumes               bool   // the guest is not booted: its state comes by QMP
}

// devices lists what m consists of, in the order QEMU is told.
func (m *Machine) devices(e ends) []device {
	d := []device{m.board(), m.processor(), m.accelerator(), m.clock(), console(e), control(e), results(e)}
	if m.TTY {
		d = append(d, terminal(e))
	}
	for i, disk := range m.Disks {
		d = append(d, disk.device(i, m))
	}
	for i, share := range m.Shares {
		d = append(d, share.device(i))
	}
	if m.Net {
		d = append(d, network())
	}
	if m.PauseOnPanic {
		d = append(d, vmcoreinfo())
	}
	if e.ram != "" {
		d = append(d, m.memory(e), payloadMemory(e))
	}
	return append(d, m.boot(e))
}

// args are QEMU's arguments, without the program's name.
func (m *Machine) args(e ends) []string {
	var args, kernel []string
	for _, d := range m.devices(e) {
		args = append(args, d.qemu...)
		kernel = append(kernel, d.kernel...)
	}
	if e.resumes {
		return args // its kernel has read its command line
	}
	return append(args, "-append", strings.Join(append(kernel, m.Append...), " "))
}

// board is q35 without what no guest test needs. i8042=off saves 0.3 s at
// power-off. The guest's reset ends QEMU; its panic does not, so that the
// console has everything the kernel says after it.
func (m *Machine) board() device {
	panicked := "none"
	if m.PauseOnPanic {
		panicked = "pause"
	}
	return device{
		qemu: []string{
			"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
			"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
			"-machine", "q35,i8042=off,usb=off,vmport=off,smm=off,sata=off,dump-guest-core=off",
			"-no-reboot", "-action", "panic=" + panicked,
			"-device", "pvpanic-pci",
		},
		kernel: []string{"panic=-1"},
	}
}

// processor offers all the accelerator has; RDRAND, when trusted, spares the
// guest a second of collecting entropy.
func (m *Machine) processor() device {
	model := "max"
	if m.Deterministic {
		// Under TCG a copy by one string instruction counts as one a byte when it
		// is to a program, and as nearly none within the kernel. Without these the
		// kernel copies by words, which counts the same everywhere.
		model += ",-erms,-fsrm"
	}
	return device{
		qemu:   []string{"-cpu", model, "-smp", strconv.Itoa(m.CPUs), "-m", strconv.Itoa(m.MemoryMiB)},
		kernel: []string{"random.trust_cpu=on"},
	}
}

// accelerator keeps the guest from judging the emulated time stamp counter:
// on a loaded host it looks unstable and is not.
func (m *Machine) accelerator() device {
	switch {
	case m.Accel.Name == KVM:
		return device{qemu: []string{"-accel", "kvm"}}
	case m.Deterministic:
		// 4 ns an instruction (shift=2; package counter knows) is what makes timers
		// and the Go runtime's monitor as rare as on machines people have: with 32
		// they are a third of what a server costs. Less makes idle time slow.
		return device{
			qemu:   []string{"-accel", "tcg,thread=single", "-icount", "shift=2,sleep=off", "-seed", strconv.FormatInt(m.Seed, 10)},
			kernel: []string{"tsc=reliable", "no_timer_check", "nokaslr"},
		}
	}
	// Locks stay as they are: each that is patched for one CPU is code that TCG
	// must translate anew.
	kernel := []string{"tsc=reliable", "no_timer_check", "noreplace-smp"}
	if m.CPUs == 1 {
		// The HPET ticks as well, and need not be compared with another clock
		// for 0.1 s.
		kernel = append(kernel, "noapictimer")
	}
	if m.tscKHz > 0 {
		kernel = append(kernel, fmt.Sprintf("tsc_early_khz=%d", m.tscKHz))
	}
	return device{qemu: []string{"-accel", "tcg"}, kernel: kernel}
}

func (m *Machine) clock() device {
	if m.Deterministic {
		return device{qemu: []string{"-rtc", "clock=vm,base=" + epoch}}
	}
	return device{qemu: []string{"-rtc", "base=utc"}}
}

// console works in panics and NMIs. earlyprintk makes crashes before its
// driver is up visible; devkmsg=on lets PID 1's marks through unlimited. An
// NMI, which only runvm sends, makes a guest talk that does nothing else.
func console(e ends) device {
	return device{
		qemu:   []string{"-chardev", withID(e.console, "console"), "-serial", "chardev:console"},
		kernel: []string{"earlyprintk=ttyS0,115200", "console=ttyS0,115200", "printk.devkmsg=on", "unknown_nmi_panic"},
	}
}

// control is QMP. The guest waits for it (-S), so that no event is lost.
func control(e ends) device {
	if e.qmp == "" {
		return device{}
	}
	return device{qemu: []string{"-S", "-chardev", withID(e.qmp, "qmp"), "-mon", "chardev=qmp,mode=control"}}
}

// results is the port PID 1 writes its records to. With ioeventfd=off the
// guest's CPU writes them itself, which is faster and does not depend on when
// another thread of the host runs.
func results(e ends) device {
	return device{qemu: []string{
		"-device", "virtio-serial-pci,id=serial,ioeventfd=off",
		"-chardev", withID(e.results, "results"),
		"-device", "virtserialport,bus=serial.0,chardev=results,name=" + wire.Port,
	}}
}

func terminal(e ends) device {
	return device{qemu: []string{
		"-chardev", withID(e.tty, "tty"),
		"-device", "virtconsole,bus=serial.0,chardev=tty",
	}}
}

// drive is the value of -drive that makes d the back end id.
func (d Disk) drive(id string) string {
	drive := fmt.Sprintf("if=none,id=%s,format=raw,cache=unsafe,file=%s", id, escape(d.Path))
	if d.ReadOnly {
		drive += ",readonly=on"
	}
	return drive
}

// device is a virtio block device. One whose guest counts instructions is asked
// by the guest's CPU itself, see results, and answers at once where it can.
func (d Disk) device(i int, m *Machine) device {
	id := fmt.Sprintf("disk%d", i)
	drive := d.drive(id)
	if m.prompt {
		drive += prompt
	}
	dev := "virtio-blk-pci,drive=" + id
	if d.Serial != "" {
		dev += ",serial=" + escape(d.Serial)
	}
	if m.Deterministic {
		dev += ",ioeventfd=off"
	}
	return device{qemu: []string{"-drive", drive, "-device", dev}}
}

func (s Share) device(i int) device {
	id := fmt.Sprintf("share%d", i)
	fs := fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap", id, escape(s.Dir))
	if s.ReadOnly {
		fs += ",readonly=on"
	}
	return device{qemu: []string{"-fsdev", fs, "-device", fmt.Sprintf("virtio-9p-pci,fsdev=%s,mount_tag=%s", id, escape(s.Tag))}}
}

// network has addresses that are always the same behind QEMU's NAT, so the
// guest needs no DHCP client. romfile= leaves out a boot ROM of 0.2 s.
func network() device {
	return device{
		qemu:   []string{"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="},
		kernel: []string{"ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3"},
	}
}

// vmcoreinfo is where a kernel with CONFIG_FW_CFG_SYSFS leaves what QEMU puts
// into a core: where it lies and how its structures look, without which drgn
// and crash have to guess.
func vmcoreinfo() device { return device{qemu: []string{"-device", "vmcoreinfo"}} }

// memory puts the guest's memory into a file. A guest that boots shares it
// with the file, one that resumes has a copy on write.
func (m *Machine) memory(e ends) device {
	return device{qemu: []string{
		"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=%s", m.MemoryMiB, escape(e.ram), e.share()),
		"-machine", "memory-backend=ram",
	}}
}

// payloadMemory is a PCI device that is memory; no kernel needs a driver for
// it. master=on lets the machine be saved.
func payloadMemory(e ends) device {
	return device{qemu: []string{
		"-object", fmt.Sprintf("memory-backend-file,id=payload,size=%d,mem-path=%s,share=%s", wire.MaxPayload, escape(e.payload), e.share()),
		"-device", "ivshmem-plain,memdev=payload,master=on",
	}}
}

// share tells whether memory that is a file is one with it. What is shared
// when the guest is saved is not part of its state.
func (e *ends) share() string {
	if e.resumes {
		return "off"
	}
	return "on"
}

func (m *Machine) boot(e ends) device {
	if e.resumes {
		return device{qemu: []string{"-incoming", "defer"}}
	}
	args := []string{"-kernel", m.Kernel}
	if e.initrd != "" {
		args = append(args, "-initrd", e.initrd)
	}
	return device{qemu: args}
}

// archives are all that a guest that boots unpacks.
func (m *Machine) archives() []string { return slices.Concat(m.Initrd, m.Payload) }

// withID gives a -chardev value its id, which comes behind the back end's name.
func withID(chardev, id string) string {
	backend, rest, found := strings.Cut(chardev, ",")
	if found {
		rest = "," + rest
	}
	return backend + ",id=" + id + rest
}

// escape makes s one value of a QEMU option list.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// Line is the command that boots m from a shell with the console on the
// terminal and the results in ./results.jsonl.
func Line(m Machine) string {
	qemu := m.QEMU
	if qemu == "" {
		qemu = DefaultQEMU
	}
	e := ends{console: "stdio,signal=off", results: "file,path=results.jsonl", tty: "null"}
	var prefix string
	for _, d := range m.Disks {
		if d.Made != "" {
			prefix += d.Made + " && "
		}
	}
	switch archives := m.archives(); len(archives) {
	case 0:
	case 1:
		e.initrd = archives[0]
	default:
		e.initrd = "initrd.cpio"
		prefix += "cat " + sh.Quote(archives...) + " >" + e.initrd + " && "
	}
	return prefix + sh.Quote(append([]string{qemu}, m.args(e)...)...)
}
