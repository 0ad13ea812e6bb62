// Package wire is what the host and PID 1 of the guest say to each other.
//
// The host's part is one Plan, a JSON file in the initramfs at PlanPath: a
// guest that is told everything before it starts needs no input while it
// runs, so its runs can be repeated bit by bit. A guest without a plan says
// Ready and waits for a Payload: that is where the host takes a snapshot, from
// which later guests go on. The guest's part is a stream
// of Records, one JSON object a line, on the virtio-serial port named Port.
// Nothing here is trusted by the host: lines are bounded by MaxLine, unknown
// fields and types are ignored, and a stream that does not parse is a verdict,
// not a crash.
package wire

import "time"

// Version is the version of the protocol; a guest that finds another one in
// its plan says so and powers off.
const Version = 1

// Names that both sides use.
const (
	PlanPath = "/runvm/plan.json" // in the initramfs
	Port     = "runvm.results"    // the virtio-serial port's name attribute
	MaxLine  = 128 << 10          // bytes of one record, newline included
	MaxChunk = 32 << 10           // bytes of output carried by one record
)

// A Plan is everything the guest has to do.
type Plan struct {
	Version int `json:"version"`
	// Key is the kernel's build key; the guest returns its own uname beside it.
	Key string `json:"key,omitempty"`
	// Tests run one after the other, each in a process group of its own.
	Tests []Test `json:"tests"`
	// Kernel says that there need be no Tests: the kernel has run its own.
	Kernel bool `json:"kernel,omitempty"`
	// Modules are files of the guest, loaded in this order before the first test.
	Modules []string `json:"modules,omitempty"`
	// Sysctls are written before the first test: "kernel.hung_task_panic": "1".
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Hostname is what the guest calls itself.
	Hostname string `json:"hostname,omitempty"`
	// Shares are directories of the host, mounted over 9p before the first test.
	Shares []Share `json:"shares,omitempty"`
	// Clock tells the guest the time in ns since 1970 where it has none of its own.
	Clock int64 `json:"clock,omitempty"`
}

// A Payload is what a guest that was Ready gets to do. It comes in the memory
// of a PCI device (ivshmem-plain, whose identity is PayloadVendor and
// PayloadDevice), its first BAR of memory: the length of the header as 4
// little-endian bytes, 0 while there is none; the header, this type as JSON;
// then Size bytes of newc archives, unpacked into the root file system, one
// of which holds the Plan.
type Payload struct {
	Version int   `json:"version"`
	Size    int64 `json:"size"`
	// Clock is the time of day in ns since 1970: the snapshot's has passed.
	Clock int64 `json:"clock"`
	// Entropy stirs the random numbers, which else are those of every other
	// guest from the same snapshot.
	Entropy []byte `json:"entropy"`
}

// Where a Payload lies.
const (
	PayloadVendor = "0x1af4"
	PayloadDevice = "0x1110"
	PayloadBAR    = 2
	MaxPayload    = 256 << 20 // bytes of the device's memory, header included
)

// A Test is one program: a Go test binary, a script, any static binary.
type Test struct {
	// ID names it in every record: an import path, a file name.
	ID   string   `json:"id"`
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"` // added to PID 1's PATH, HOME, TMPDIR
	Dir  string   `json:"dir,omitempty"` // working directory, "/" when empty
	// Timeout ends the program from inside the guest; 0 leaves it to the host's clocks.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Marks says that its output has test2json framing (-test.v=test2json):
	// PID 1 copies the start of each test to the kernel log, so that a
	// complaint can be charged to the test that was running.
	Marks bool `json:"marks,omitempty"`
	// TTY names the terminal the program is attached to ("hvc0"); its output
	// is then not recorded.
	TTY string `json:"tty,omitempty"`
	// Rows and Cols are the terminal's size.
	Rows uint16 `json:"rows,omitempty"`
	Cols uint16 `json:"cols,omitempty"`
}

// A Share is a directory of the host in the guest.
type Share struct {
	Tag      string `json:"tag"`  // the 9p mount tag
	Path     string `json:"path"` // where it is mounted
	ReadOnly bool   `json:"ro,omitempty"`
}

// The types of Record.
const (
	Hello = "hello" // PID 1 runs: Uname, Version
	Ready = "ready" // there is no plan: PID 1 waits for a Payload
	Start = "start" // the program ID is about to run
	Out   = "out"   // it wrote Text (or Data, when that is not UTF-8)
	Exit  = "exit"  // it ended: Code or Signal, TimedOut, Taint
	Error = "error" // PID 1 could not do its part: Text; ID when it was about a test
	Done  = "done"  // the whole plan was gone through; power-off follows
	Pad   = "pad"   // nothing: fills the channel behind the last record, see PID 1
)

// A Record is one line from the guest.
type Record struct {
	Type    string `json:"t"`
	Version int    `json:"version,omitempty"`
	// Uname is "release version machine" as uname(2) gives them.
	Uname string `json:"uname,omitempty"`
	ID    string `json:"id,omitempty"`
	// Time is the guest's CLOCK_MONOTONIC in ns.
	Time int64 `json:"time,omitempty"`
	// Stream is 1 for standard output, 2 for standard error.
	Stream int    `json:"s,omitempty"`
	Text   string `json:"text,omitempty"`
	Data   []byte `json:"data,omitempty"`
	Code   int    `json:"code,omitempty"`
	Signal int    `json:"signal,omitempty"`
	// TimedOut says that PID 1 ended the program because its Timeout was over.
	TimedOut bool `json:"timed_out,omitempty"`
	// Left says that processes of the test survived SIGKILL (state D).
	Left int `json:"left,omitempty"`
	// Taint is /proc/sys/kernel/tainted; -1 when it could not be read.
	Taint int64 `json:"taint,omitempty"`
}

// Bytes returns what an Out record carries.
func (r *Record) Bytes() []byte {
	if r.Data != nil {
		return r.Data
	}
	return []byte(r.Text)
}
