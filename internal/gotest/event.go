// Package gotest is what runvm knows of Go's tests: which packages a pattern
// names, how they are compiled into static binaries for the guest, which
// tests will run in them, and what the events in their output are.
package gotest

import "time"

// The actions of an Event, as `go doc test2json` explains them.
const (
	ActionStart  = "start"
	ActionRun    = "run"
	ActionPause  = "pause"
	ActionCont   = "cont"
	ActionPass   = "pass"
	ActionBench  = "bench"
	ActionFail   = "fail"
	ActionOutput = "output"
	ActionSkip   = "skip"
)

// An Event is one line of `go test -json`.
type Event struct {
	Time    time.Time `json:",omitzero"`
	Action  string
	Package string `json:",omitempty"`
	// Test is empty for events of the package as a whole.
	Test   string `json:",omitempty"`
	Output string `json:",omitempty"`
	// Elapsed is in seconds, for pass, fail, skip and bench.
	Elapsed float64 `json:",omitempty"`
}

// Ended says that the event is the last of its test, or of its package when
// Test is empty.
func (e *Event) Ended() bool {
	switch e.Action {
	case ActionPass, ActionFail, ActionSkip, ActionBench:
		return true
	}
	return false
}
