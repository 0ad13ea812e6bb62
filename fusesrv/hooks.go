package fusesrv

import "syscall"

// Hooks let the owner of a Server see READs being answered and interfere, as
// tests of the kernel do. Several workers call them at once. A hook may block,
// which makes the server slow.
type Hooks struct {
	// OnRead is called before a READ is answered. An error number that it
	// returns is the answer, and the path is not asked.
	OnRead func() syscall.Errno
	// OnStep is called on the way.
	OnStep func(Step)
	// OnReply is called when all of an answer but the reply is done; before
	// the one call that does all, where a path has that.
	OnReply func(Reply)
}

// A Step is how far the answer to a READ is.
type Step int

// The steps of an answer. Not every path has all of them.
const (
	StepClaimed Step = iota + 1 // the kernel has given out empty buffers
	StepFilled                  // the bytes are where the reply takes them from
)

// A Reply is a reply to a READ that is about to be sent.
type Reply struct {
	Unique uint64 // the kernel's name for the READ
	Asked  int    // bytes asked for
	Size   int    // bytes that the reply has, or is to have
	// Send sends a reply of size bytes to unique the way that the path sends
	// replies. That is beside the real one, which follows.
	Send func(unique uint64, size int) error
}
