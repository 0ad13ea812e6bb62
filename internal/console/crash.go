package console

// A Crash is one complaint of the kernel, found in a console log.
type Crash struct {
	Kind  Kind  `json:"kind"`
	Fault Fault `json:"fault"`
	// Title is stable over runs of the same fault: addresses and numbers are
	// left out, "KASAN: slab-use-after-free Read in fuse_copy_page".
	Title string `json:"title"`
	// Corrupted says that the report is damaged (cut, interleaved, without the
	// stack it should have), so that Title may be poorer than the fault.
	Corrupted bool `json:"corrupted,omitempty"`
	// Damage is the sentence behind Corrupted.
	Damage string `json:"damage,omitempty"`
	// Guilty is the innermost frame that is not an assertion helper, printk or
	// a sanitizer; its Func is empty when the report has no such frame.
	Guilty Frame `json:"guilty"`
	// Lines are the first and last line of the report, counted from 1.
	Lines [2]int `json:"lines"`
	// Text is the report without time stamps and lines of other CPUs, at most
	// MaxText bytes.
	Text string `json:"text,omitempty"`
	// Frames are those of the report's first stack, innermost first.
	Frames []Frame `json:"frames,omitempty"`
	// Fingerprint is the same for two crashes of one kind whose first five
	// meaningful frames are the same: 16 hexadecimal digits. It is empty only
	// where somebody else than Find noticed the crash.
	Fingerprint string `json:"fingerprint"`
}

// A Frame is one function of a stack.
type Frame struct {
	// Func is the function without suffixes the compiler added (.constprop.0).
	Func string `json:"func"`
	// Offset and Size are in bytes; both are 0 in a report that leaves them out.
	Offset uint64 `json:"offset,omitempty"`
	Size   uint64 `json:"size,omitempty"`
	// Module holds the function; empty for vmlinux.
	Module string `json:"module,omitempty"`
	// Source is "fs/fuse/dev.c:902" where the log itself tells it.
	Source string `json:"source,omitempty"`
	// Line is the line of the log, counted from 1.
	Line int `json:"line"`
}

// Bounds of what one log can make Find keep.
const (
	MaxCrashes = 64       // complaints of one log
	MaxText    = 64 << 10 // bytes of Text
	MaxFrames  = 128      // frames of one stack
)
