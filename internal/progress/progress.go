// Package progress tells people how far a slow step is: bars with an estimate
// of the time left on a terminal, plain lines otherwise.
package progress

import "io"

// A Sink receives progress. Its methods may be called by several goroutines.
type Sink interface {
	// Start opens a step named for people, such as "unpack linux-source-6.12".
	// total is its length in unit, 0 when it is not known.
	Start(name string, total int64, unit Unit) Step
}

// A Step is one slow thing under way.
type Step interface {
	// Set tells how much is done of total, which may have become known only now.
	Set(done, total int64)
	// Done closes the step; note, when not empty, is shown behind its name.
	Done(note string)
}

// A Unit says what a step counts.
type Unit int

// The units.
const (
	Bytes Unit = iota // shown as MiB
	Items             // shown as a bare number: files compiled, patches
)

// Discard is a Sink that shows nothing.
type Discard struct{}

// Start returns a step that shows nothing.
func (Discard) Start(string, int64, Unit) Step { return silent{} }

type silent struct{}

func (silent) Set(int64, int64) {}
func (silent) Done(string)      {}

// Reader counts what is read from r as progress of step towards total bytes.
func Reader(r io.Reader, step Step, total int64) io.Reader {
	return &reader{r: r, step: step, total: total}
}

type reader struct {
	r     io.Reader
	step  Step
	done  int64
	total int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.done += int64(n)
	r.step.Set(r.done, r.total)
	return n, err
}
