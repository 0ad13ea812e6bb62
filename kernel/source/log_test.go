package source

import (
	"testing"
	"time"

	"github.com/runvm/runvm/internal/progress"
)

// A logSink writes the steps of a test to its log.
type logSink struct{ t *testing.T }

func (s logSink) Start(name string, total int64, _ progress.Unit) progress.Step {
	return &logStep{t: s.t, name: name, total: total, start: time.Now()}
}

type logStep struct {
	t           *testing.T
	name        string
	done, total int64
	start       time.Time
}

func (s *logStep) Set(done, total int64) { s.done, s.total = done, total }

func (s *logStep) Done(note string) {
	s.t.Logf("%s: %d of %d in %v %s", s.name, s.done, s.total, time.Since(s.start).Round(time.Millisecond), note)
}
