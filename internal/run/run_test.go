package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/wire"
)

// session is what a guest sends that runs one Go test which passes.
func session() []wire.Record {
	return []wire.Record{
		{Type: wire.Hello, Version: wire.Version, Uname: "6.12.117 runvm x86_64"},
		{Type: wire.Start, ID: "example.com/a", Time: 1},
		{Type: wire.Out, ID: "example.com/a", Stream: 1, Text: "\x16=== RUN   TestOne\n\x16--- PASS: TestOne (0.01s)\n\x16PASS\n"},
		{Type: wire.Exit, ID: "example.com/a", Time: int64(time.Second)},
		{Type: wire.Done},
	}
}

// recordRun writes the directory of a run in which the guest sent records.
func recordRun(t *testing.T, records []wire.Record, console string) string {
	t.Helper()
	rec, err := newRecorder(t.TempDir(), []verdict.Planned{{ID: "example.com/a", Arg: "./a", Go: true, Tests: []string{"TestOne"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.close()
	rec.live = func(gotest.Event, wire.Record) {}
	enc := json.NewEncoder(rec.results)
	for _, r := range records {
		rec.record(r)
		if err := enc.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rec.console.WriteString(console); err != nil {
		t.Fatal(err)
	}
	rec.in.End = verdict.EndPowerOff
	if _, err := rec.judge(); err != nil {
		t.Fatal(err)
	}
	return rec.dir
}

func TestVerdictFollowsFromRecordedBytes(t *testing.T) {
	const splat = "[    1.0] BUG: sleeping function called from invalid context at mm/slab.h:1\n"
	for _, c := range []struct {
		name    string
		records []wire.Record
		console string
		want    verdict.Verdict
	}{
		{"everything arrived", session(), "", verdict.Pass},
		{"the kernel complained", session(), splat, verdict.Crash},
		{"no done record", session()[:4], "", verdict.Incomplete},
		{"nothing of the test", session()[:1], "", verdict.Incomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := recordRun(t, c.records, c.console)
			first, err := os.ReadFile(filepath.Join(dir, reportFile))
			if err != nil {
				t.Fatal(err)
			}
			report, err := Rejudge(dir)
			if err != nil {
				t.Fatal(err)
			}
			if report.Verdict != c.want {
				t.Errorf("verdict %s (%s), want %s", report.Verdict, report.Reason, c.want)
			}
			again, _ := os.ReadFile(filepath.Join(dir, reportFile))
			if !bytes.Equal(first, again) {
				t.Errorf("judged again, the report differs:\n%s", cmp.Diff(string(first), string(again)))
			}
		})
	}
}

func TestEventsAreThoseOfGoTest(t *testing.T) {
	dir := recordRun(t, session(), "")
	data, err := os.ReadFile(filepath.Join(dir, eventsFile))
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for line := range strings.Lines(string(data)) {
		var e gotest.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Action != gotest.ActionOutput {
			actions = append(actions, e.Action+" "+e.Test)
		}
	}
	want := []string{"start ", "run TestOne", "pass TestOne", "pass "}
	if d := cmp.Diff(want, actions); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestRejudgeRefusesWhatIsNoRun(t *testing.T) {
	empty := t.TempDir()
	torn := t.TempDir()
	if err := os.WriteFile(filepath.Join(torn, recordedFile), []byte("{\"plan\":"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, torn, filepath.Join(empty, "nowhere")} {
		if _, err := Rejudge(dir); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: error %v, want a usage error", dir, err)
		}
	}
}

func TestFolderIsBounded(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("big", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	files, err := folder(dir, "/data")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path+" "+f.Link)
	}
	if d := cmp.Diff([]string{"/data ", "/data/big ", "/data/link big"}, paths); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if err := os.Truncate(big, maxFolderBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := folder(dir, "/data"); err == nil {
		t.Error("a folder larger than the bound was accepted")
	}
}

func TestExecKnowsFilesOfTheHostFromCommandsOfTheGuest(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "check.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	host := Command{Argv: []string{"./check.sh", "x"}, Dir: dir}
	progs, err := host.programs()
	if err != nil {
		t.Fatal(err)
	}
	if got := progs.tests[0].Argv; got[0] != execDir+"/check.sh" || got[1] != "x" || progs.tests[0].Dir != execDir {
		t.Errorf("a file of the host runs as %q in %s", got, progs.tests[0].Dir)
	}
	guest := Command{Argv: []string{"check.sh"}, Dir: dir}
	if progs, err = guest.programs(); err != nil || progs.tests[0].Argv[0] != "check.sh" || len(progs.files) != 0 {
		t.Errorf("a command of the guest: %v, %v", progs, err)
	}
}

func TestPrintableStripsWhatSteersATerminal(t *testing.T) {
	got := Printable("ok\t\x1b[2J\x07\u202eäöü\n\xff")
	if want := "ok\t\ufffd[2J\ufffd\ufffdäöü\n\ufffd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
