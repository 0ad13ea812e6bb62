package verdict

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/runvm/runvm/internal/wire"
)

// FuzzJudge gives the judge what a hostile guest may send: it must not fail,
// and must not believe a run in which a planned test has no result.
func FuzzJudge(f *testing.F) {
	in := good()
	var lines bytes.Buffer
	for _, r := range in.Records {
		line, _ := json.Marshal(r)
		lines.Write(append(line, '\n'))
	}
	f.Add(lines.Bytes(), in.Console, string(EndPowerOff), 0)
	f.Add([]byte(`{"t":"hello","version":1}`), []byte(booted+marked("A")+warning), string(EndReset), 1)
	f.Fuzz(func(t *testing.T, stream, log []byte, end string, bad int) {
		in := In{Plan: plan(), Console: log, End: End(end), BadRecords: bad}
		for _, line := range bytes.Split(stream, []byte("\n")) {
			var r wire.Record
			if json.Unmarshal(line, &r) == nil {
				in.Records = append(in.Records, r)
			}
		}
		r := Judge(in)
		if r.Verdict != Pass {
			if r.Reason == "" {
				t.Errorf("%s without a reason", r.Verdict)
			}
			return
		}
		ended := map[string]bool{}
		for _, test := range r.Programs[0].Tests {
			ended[test.Name] = test.Runs > 0
		}
		for _, name := range in.Plan[0].Tests {
			if !ended[name] {
				t.Errorf("a pass although %s has no result", name)
			}
		}
	})
}
