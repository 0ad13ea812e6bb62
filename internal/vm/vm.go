// Package vm boots a kernel under QEMU, once, and tells how that ended.
//
// A Machine says what is booted and on what; one list of devices, derived from
// it, yields both QEMU's arguments and the kernel's, so the two cannot drift
// apart. Run boots it and returns when it is over: the guest powered off, was
// reset or panicked, one of the two clocks ran out, the context ended, or QEMU
// itself died. What the guest did is read from QMP events, never from QEMU's
// exit status, which is 0 after a kernel panic too.
//
// The guest has three ways to the host, all of them inherited descriptors, so
// nothing is left in the file system: an ISA serial port carries the console,
// a virtio-serial port named wire.Port the results, a virtio console the
// terminal of an interactive program. The guest has no network and sees no
// directory of the host unless the Machine says so, and QEMU runs in its
// seccomp sandbox.
//
// No QEMU outlives its runvm: the kernel kills it when its parent dies, and
// every wait for it is bounded.
package vm

import (
	"fmt"
	"math"
	"strings"
)

// The machine's limits.
const (
	MinMemoryMiB = 64
	MaxMemoryMiB = 1 << 20
	MaxCPUs      = 255
)

// DefaultQEMU is the program Run looks up in PATH when Machine.QEMU is "".
const DefaultQEMU = "qemu-system-x86_64"

// A Machine is what is booted. Kernel, MemoryMiB, CPUs and Accel must be set.
type Machine struct {
	// QEMU is the emulator's path or name; "" is DefaultQEMU.
	QEMU string
	// Kernel is the path of a vmlinux with a PVH note (boots in half the time)
	// or of a bzImage.
	Kernel string
	// Initrd are the cpio archives the guest unpacks over one another, in
	// this order. Several are handed to QEMU as one file in memory.
	Initrd []string
	// Payload are more archives, unpacked over Initrd: what belongs to this run
	// alone. A guest that goes on from a snapshot gets them in memory.
	Payload []string
	// Append is added to the kernel's command line, behind what the devices
	// need, so that it can override that.
	Append []string
	// MemoryMiB is the guest's memory, MinMemoryMiB to MaxMemoryMiB.
	MemoryMiB int
	// CPUs is the number of virtual CPUs, 1 to MaxCPUs.
	CPUs int
	// Accel is what executes guest code; see Pick.
	Accel Accel
	// Deterministic makes two cold boots of the same Machine byte-identical
	// in console and results: time is the number of instructions executed.
	// It needs TCG, one CPU, and no Shares, Net or TTY, which bring the host's
	// timing in. Disks do so too for what the guest writes, which is done when
	// the host has done its part: time still counts instructions then, but two
	// boots are alike to about 1 % and not byte by byte. What the guest reads
	// is there at once where QEMU has io_uring (Result.DiskWaits), as long as
	// the host has it in its page cache.
	Deterministic bool
	// Seed starts the guest's random numbers and so its schedule, 0 to
	// math.MaxUint32. It is used in deterministic mode only.
	Seed int64
	// Disks are virtio block devices, vda first.
	Disks []Disk
	// Shares are directories of the host, offered over 9p.
	Shares []Share
	// Net gives the guest a network card (10.0.2.15) behind QEMU's NAT.
	Net bool
	// TTY gives the guest a terminal, hvc0, connected to Options.TTY.
	TTY bool

	// PauseOnPanic stops the guest when its kernel panics, before it has said
	// all of it, so that its memory can be dumped; see Options.Core. The kernel
	// can leave a note for the core's readers.
	PauseOnPanic bool

	prompt bool  // disks answer at once
	tscKHz int64 // frequency of the time stamp counter the guest sees, 0 unknown
}

// A Disk is a raw image on the host.
type Disk struct {
	Path     string
	ReadOnly bool
	// Made is a shell command that makes Path, for people; "" is none.
	Made string
	// Serial is what the guest reads in /sys/block/vdX/serial, at most 20
	// bytes; "" is none.
	Serial string
}

// A Share is a directory of the host in the guest.
type Share struct {
	Tag      string // the 9p mount tag, 1 to 31 bytes
	Dir      string // on the host
	ReadOnly bool
}

// validate refuses what QEMU or the guest would refuse later and less clearly.
func (m *Machine) validate() error {
	switch {
	case m.Kernel == "":
		return fmt.Errorf("machine: no kernel")
	case m.MemoryMiB < MinMemoryMiB || m.MemoryMiB > MaxMemoryMiB:
		return fmt.Errorf("machine: memory of %d MiB: want %d to %d", m.MemoryMiB, MinMemoryMiB, MaxMemoryMiB)
	case m.CPUs < 1 || m.CPUs > MaxCPUs:
		return fmt.Errorf("machine: %d CPUs: want 1 to %d", m.CPUs, MaxCPUs)
	case m.Accel.Name != KVM && m.Accel.Name != TCG:
		return fmt.Errorf("machine: accelerator %q: want %s or %s", m.Accel.Name, KVM, TCG)
	}
	for _, a := range m.Append {
		if strings.ContainsAny(a, "\x00\n") {
			return fmt.Errorf("machine: kernel argument %q: control character", a)
		}
	}
	for _, d := range m.Disks {
		if len(d.Serial) > 20 {
			return fmt.Errorf("machine: disk serial %q: longer than 20 bytes", d.Serial)
		}
	}
	for _, s := range m.Shares {
		if len(s.Tag) < 1 || len(s.Tag) > 31 {
			return fmt.Errorf("machine: share tag %q: want 1 to 31 bytes", s.Tag)
		}
	}
	return m.validateDeterministic()
}

func (m *Machine) validateDeterministic() error {
	if !m.Deterministic {
		return nil
	}
	switch {
	case m.Accel.Name != TCG:
		return fmt.Errorf("machine: deterministic mode needs %s, not %s", TCG, m.Accel.Name)
	case m.CPUs != 1:
		return fmt.Errorf("machine: deterministic mode needs 1 CPU, not %d", m.CPUs)
	case len(m.Shares) > 0 || m.Net || m.TTY:
		return fmt.Errorf("machine: deterministic mode takes no share, network or terminal: they bring the host's timing in")
	case m.Seed < 0 || m.Seed > math.MaxUint32:
		return fmt.Errorf("machine: seed %d: want 0 to %d", m.Seed, uint32(math.MaxUint32))
	}
	return nil
}
