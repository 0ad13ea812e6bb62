package run

import (
	"time"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/wire"
)

// A decoder turns the guest's records into the events of its Go tests. It is
// a pure function of the records, used both while they arrive and when a run
// is judged again.
type decoder struct {
	goTests map[string]bool
	id      string
	dec     *gotest.Decoder
	started int64 // guest's clock, ns
	events  []gotest.Event
}

func newDecoder(plan []verdict.Planned) *decoder {
	d := &decoder{goTests: map[string]bool{}}
	for _, p := range plan {
		d.goTests[p.ID] = p.Go
	}
	return d
}

// add returns the events that rec completes.
func (d *decoder) add(rec wire.Record) []gotest.Event {
	d.events = nil
	switch {
	case rec.Type == wire.Start && d.goTests[rec.ID]:
		d.id, d.started = rec.ID, rec.Time
		d.dec = gotest.NewDecoder(rec.ID, func(e gotest.Event) { d.events = append(d.events, e) })
	case d.dec == nil || rec.ID != d.id:
	case rec.Type == wire.Out:
		_, _ = d.dec.Write(rec.Bytes()) // never fails
	case rec.Type == wire.Exit:
		passed := rec.Code == 0 && rec.Signal == 0 && !rec.TimedOut
		d.dec.Close(passed, time.Duration(rec.Time-d.started).Seconds())
		d.dec = nil
	}
	return d.events
}
