package gotest

// A Decoder turns the output of a test binary started with Selection.Flags
// into events. It is a pure function of what is written to it: no clock.
type Decoder struct {
	emit func(Event)
	pkg  string
}

// NewDecoder returns a Decoder that calls emit with each event of package pkg.
func NewDecoder(pkg string, emit func(Event)) *Decoder { return &Decoder{emit: emit, pkg: pkg} }

// Write takes the next bytes of output. It never fails.
func (d *Decoder) Write(p []byte) (int, error) { return len(p), nil }

// Close flushes what is held and emits the package's last event, from the
// binary's exit: passed is exit code 0, elapsed in seconds.
func (d *Decoder) Close(passed bool, elapsed float64) {}
