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
	// Stacks are the report's other stacks, at most MaxStacks: where memory was
	// allocated and freed, where locks were taken, what other CPUs did.
	Stacks []Stack `json:"stacks,omitempty"`
	// Fingerprint is the same for two crashes of one kind whose first five
	// meaningful frames are the same: 16 hexadecimal digits. It is empty only
	// where somebody else than Find noticed the crash.
	Fingerprint string `json:"fingerprint"`
}

// A Stack is one of a report's further stacks.
type Stack struct {
	// Title is the line it stands under: "Freed by task 212:".
	Title  string  `json:"title"`
	Frames []Frame `json:"frames"` // innermost first, at most MaxFrames
}

// A Frame is one function of a stack.
type Frame struct {
	// Func is the function without suffixes the compiler added (.constprop.0);
	// empty where the log has only an address.
	Func string `json:"func"`
	// Symbol is Func with such a suffix; empty without one.
	Symbol string `json:"symbol,omitempty"`
	// Address is in hexadecimal digits; only of a frame without Func.
	Address string `json:"address,omitempty"`
	// Offset and Size are in bytes; both are 0 in a report that leaves them out.
	Offset uint64 `json:"offset,omitempty"`
	Size   uint64 `json:"size,omitempty"`
	// Module holds the function; empty for vmlinux.
	Module string `json:"module,omitempty"`
	// Exact says that the place is the instruction that was running. Any other
	// is a return address: the call stands right before it.
	Exact bool `json:"exact,omitempty"`
	// Guessed says that the unwinder only found the frame on the stack ("? f").
	Guessed bool `json:"guessed,omitempty"`
	// Source is "fs/fuse/dev.c:902" where the log itself tells it, or the
	// kernel's debug information does.
	Source string `json:"source,omitempty"`
	// Inlined says that the compiler put the function into the one of the
	// frame after it. No log says so: debug information does.
	Inlined bool `json:"inlined,omitempty"`
	// Patch is the name of the patch that wrote the line Source.
	Patch string `json:"patch,omitempty"`
	// Doubt is why Source is missing or may be wrong, one line.
	Doubt string `json:"doubt,omitempty"`
	// Line is the line of the log, counted from 1.
	Line int `json:"line"`
}

// Bounds of what one log can make Find keep.
const (
	MaxCrashes = 64       // complaints of one log
	MaxText    = 64 << 10 // bytes of Text
	MaxFrames  = 128      // frames of one stack
	MaxStacks  = 16       // further stacks of one report
)
