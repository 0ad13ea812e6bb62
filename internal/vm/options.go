package vm

import (
	"io"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// Options are the run's ends on the host and its clocks.
type Options struct {
	// Console receives the guest's serial console as it comes; nil discards it.
	Console io.Writer
	// MaxConsole bounds Console in bytes; 0 is DefaultMaxConsole. Of a longer
	// console the start and the end are written, with a line between them
	// that says how much was left out.
	MaxConsole int64
	// Results receives the result stream as it comes; nil discards it.
	Results io.Writer
	// MaxResults bounds Results in bytes; 0 is DefaultMaxResults. What output
	// does not fit is dropped, both here and for OnRecord, and an error record
	// at the end says so; other records have a part of the bound to themselves.
	MaxResults int64
	// OnRecord, when set, is called with every record, in order, by one
	// goroutine. It must be quick: the guest waits for it.
	OnRecord func(wire.Record)
	// Silence ends a run in which neither console nor results said anything
	// for that long; 0 is no such clock. Time in which the host was too busy to
	// run the guest does not count.
	Silence time.Duration
	// Deadline ends a run that lasts longer; 0 is no such clock.
	Deadline time.Duration
	// Ask makes a guest that ran out of time say what it was doing, which takes
	// a few seconds, 15 at most: see Result.Asked. It must be Linux.
	Ask bool
	// Core is a file for the guest's memory, an ELF core, when the guest ran out
	// of time or panicked; "" is none. It has holes: it takes no more room than
	// the guest used.
	Core string
	// Snapshots is a folder for snapshots of guests that wait for a Payload;
	// "" is none, and every run then boots. With it, of machines that are the
	// same but for Payload only the first boots: the others go on from where
	// it was Ready. Machines whose state is not all in QEMU's hands boot all
	// the same: those with KVM, Disks, Shares, Net or TTY, deterministic ones,
	// and those with more than wire.MaxPayload of Payload.
	Snapshots string
	// TTY is the other end of the guest's hvc0 when Machine.TTY is set. Its
	// Read may still be pending when Run returns.
	TTY io.ReadWriter
	// Echo, when set, receives QEMU's command as one line for a shell.
	Echo io.Writer
}

// The bounds Options take for 0.
const (
	DefaultMaxConsole = 64 << 20
	DefaultMaxResults = 256 << 20
)

// defaults fills in what was left open.
func (o *Options) defaults() {
	if o.Console == nil {
		o.Console = io.Discard
	}
	if o.Results == nil {
		o.Results = io.Discard
	}
	if o.MaxConsole <= 0 {
		o.MaxConsole = DefaultMaxConsole
	}
	if o.MaxResults <= 0 {
		o.MaxResults = DefaultMaxResults
	}
	if o.OnRecord == nil {
		o.OnRecord = func(wire.Record) {}
	}
}

// A Reason is how a run ended.
type Reason string

// The reasons.
const (
	PowerOff Reason = "power-off" // the guest powered itself off
	Reset    Reason = "reset"     // it rebooted, or its CPU gave up (triple fault)
	Panicked Reason = "panicked"  // its kernel panicked and said so
	Silence  Reason = "silence"   // it said nothing for Options.Silence
	Deadline Reason = "deadline"  // it ran longer than Options.Deadline
	Killed   Reason = "killed"    // the context ended, or somebody killed QEMU
	QEMUExit Reason = "qemu-exit" // QEMU ended by itself without a word on the guest
)

// A Result is a run that is over.
type Result struct {
	Reason Reason `json:"reason"`
	// Detail is one line for people: why the run ended so.
	Detail string `json:"detail"`
	// Args is QEMU's exact command, Args[0] its path. Descriptors in it were
	// inherited; Line gives a command that runs without them.
	Args []string `json:"args"`
	// Line boots the same machine from a shell, console on the terminal.
	Line string `json:"line"`
	// Events are QMP's events in their order, at most 64.
	Events []Event `json:"events,omitempty"`
	// Asked is where the console's answers begin, in bytes: what the kernel
	// said when runvm, at the end of a clock, asked it what it was doing. It is
	// 0 when it was not asked, or the console was too long.
	Asked int64 `json:"asked,omitempty"`
	// Registers are the CPUs' at that moment, as QEMU prints them, of a guest
	// that did not answer; at most 64 KiB.
	Registers string `json:"registers,omitempty"`
	// DiskWaits says that the disks of a deterministic guest answer when the host
	// does: QEMU was built without io_uring, or the host forbids it.
	DiskWaits bool `json:"disk_waits,omitempty"`
	// Core says that Options.Core was written.
	Core bool `json:"core,omitempty"`
	// Stderr is the end of what QEMU wrote to standard error, at most 4 KiB.
	Stderr string `json:"stderr,omitempty"`
	// ConsoleTail is the end of the console, at most 4 KiB.
	ConsoleTail string `json:"console_tail,omitempty"`
	// ConsoleBytes and ResultBytes count what the guest sent, dropped ones
	// included.
	ConsoleBytes int64 `json:"console_bytes"`
	ResultBytes  int64 `json:"result_bytes"`
	// Cut says that Console or Results were longer than their bounds.
	Cut bool `json:"cut,omitempty"`
	// BadLines counts lines of the result stream that are no records.
	BadLines int `json:"bad_lines,omitempty"`
	// Booted is when the guest was booted that went on in this run; zero when
	// it was in this run.
	Booted time.Time `json:"booted,omitzero"`
	// Times are the run's milestones.
	Times Times `json:"times"`
}

// Times are the milestones of a run; one that was not reached is zero.
type Times struct {
	Started      time.Time     `json:"started"`       // just before QEMU's exec
	Resumed      time.Duration `json:"resumed"`       // from Started until the guest of a snapshot went on
	FirstConsole time.Duration `json:"first_console"` // from Started to the first console byte
	Hello        time.Duration `json:"hello"`         // … to PID 1's hello
	FirstOut     time.Duration `json:"first_out"`     // … to the first output of a test
	End          time.Duration `json:"end"`           // … until QEMU was gone and all it said was written
}

// An Event is one QMP event.
type Event struct {
	Name string `json:"name"`
	// Data is the event's data as JSON, at most 4 KiB.
	Data string `json:"data,omitempty"`
	// After is when it arrived, counted from Times.Started.
	After time.Duration `json:"after"`
}
