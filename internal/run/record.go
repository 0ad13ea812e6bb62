package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/runvm/runvm/internal/gotest"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/internal/vm"
	"github.com/runvm/runvm/internal/wire"
)

// The files of a run's directory. Console and results are the guest's bytes as
// they came; recorded.json is what the host knew; report.json and events.json
// follow from these three, so that Rejudge can make them again.
const (
	consoleFile  = "console.log"
	resultsFile  = "results.jsonl"
	recordedFile = "recorded.json"
	reportFile   = "report.json"
	eventsFile   = "events.json"
	vmFile       = "vm.json"
	configFile   = "config"
	coreFile     = "core"
	diskFile     = "disk" // while the guest runs
)

// maxRecorded bounds each file that Rejudge reads, in bytes: a little more
// than vm.DefaultMaxResults, the largest that a run writes.
const maxRecorded = 260 << 20

// recordedFormat is the version of recorded.json. It is raised when what older
// runs wrote can no longer be read; runs from before there was a number are 1.
const recordedFormat = 1

// recorded is recorded.json: verdict.In without what the guest sent.
type recorded struct {
	Format  int               `json:"format"`
	Plan    []verdict.Planned `json:"plan"`
	KUnit   string            `json:"kunit,omitempty"`
	End     verdict.End       `json:"end"`
	EndNote string            `json:"end_note,omitempty"`
	Asked   int64             `json:"asked,omitempty"`
	Cut     bool              `json:"cut,omitempty"`
	Run     verdict.Run       `json:"run"`
	Symbols symbols           `json:"symbols,omitzero"`
	Allow   []verdict.Allowed `json:"allow,omitempty"`
	// Guests are the folders of the run's further guests, in their order; of
	// these Retry tells in which round failed tests ran again, 0 for none.
	Guests []string `json:"guests,omitempty"`
	Retry  int      `json:"retry,omitempty"`
}

// A recorder writes down what happens in a run.
type recorder struct {
	dir              string
	console, results *os.File
	in               recorded
	decoder          *decoder
	live             func(gotest.Event, wire.Record)
	tty              io.ReadWriter // the guest's terminal, if it has one
	disk             string        // digest of the image that guests have a copy of
}

func newRecorder(dir string, plan []verdict.Planned) (*recorder, error) {
	r := &recorder{dir: dir, in: recorded{Format: recordedFormat, Plan: plan, End: verdict.EndNone}}
	var err error
	if r.console, err = os.Create(filepath.Join(dir, consoleFile)); err != nil {
		return nil, err
	}
	if r.results, err = os.Create(filepath.Join(dir, resultsFile)); err != nil {
		r.console.Close()
		return nil, err
	}
	r.decoder = newDecoder(plan)
	return r, nil
}

func (r *recorder) close() {
	r.console.Close()
	r.results.Close()
}

// keepConfig copies the kernel's .config into the run's directory.
func (r *recorder) keepConfig(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, configFile), data, 0o644)
}

// record takes one record as it arrives and shows what follows from it.
func (r *recorder) record(rec wire.Record) {
	shown := 0
	for _, e := range r.decoder.add(rec) {
		r.live(e, rec)
		shown++
	}
	if shown == 0 {
		r.live(gotest.Event{}, rec)
	}
}

// ended writes down how the VM ended.
func (r *recorder) ended(m vm.Machine, result *vm.Result) error {
	r.in.End, r.in.EndNote, r.in.Asked, r.in.Cut = verdict.End(result.Reason), result.Detail, result.Asked, result.Cut
	if result.Registers != "" {
		r.in.EndNote += "; it answers neither sysrq nor an NMI: " + pointers(result.Registers)
	}
	r.in.Run.Machine = verdict.Machine{
		Accel: m.Accel.Name, AccelWhy: m.Accel.Why, Command: result.Args,
		MemoryMiB: m.MemoryMiB, CPUs: m.CPUs, Deterministic: m.Deterministic, Seed: m.Seed,
	}
	return writeJSON(filepath.Join(r.dir, vmFile), result)
}

// pointers are the instruction pointers in what QEMU says of registers.
func pointers(registers string) string {
	var found []string
	for _, word := range strings.Fields(registers) {
		if strings.HasPrefix(word, "RIP=") {
			found = append(found, word)
		}
	}
	return Printable(strings.Join(found, ", "))
}

// judge writes recorded.json and everything that follows from it.
func (r *recorder) judge() (*verdict.Report, error) {
	if err := r.write(); err != nil {
		return nil, err
	}
	return Rejudge(r.dir)
}

// write writes recorded.json.
func (r *recorder) write() error { return writeJSON(filepath.Join(r.dir, recordedFile), r.in) }

// readRecorded reads recorded.json of the run in dir.
func readRecorded(dir string) (recorded, error) {
	path := filepath.Join(dir, recordedFile)
	data, err := readBounded(path)
	if err != nil {
		return recorded{}, usagef("%s is not the directory of a run: %w", dir, err)
	}
	// The number comes first: of another version the rest may not parse.
	number := struct {
		Format int `json:"format"`
	}{Format: 1}
	if err := json.Unmarshal(data, &number); err != nil {
		return recorded{}, usagef("%s: %w", path, err)
	}
	if number.Format != recordedFormat {
		return recorded{}, usagef("%s: recorded by another version of runvm (format %d, this one reads %d): run the tests again", path, number.Format, recordedFormat)
	}
	rec := recorded{}
	if err := json.Unmarshal(data, &rec); err != nil {
		return recorded{}, usagef("%s: %w", path, err)
	}
	return rec, nil
}

// Rejudge reads the recorded bytes of the run in dir, judges them and writes
// events.json and report.json. The same bytes give the same report.
func Rejudge(dir string) (*verdict.Report, error) {
	rec, err := readRecorded(dir)
	if err != nil {
		return nil, err
	}
	report, events, err := judgeOne(dir)
	if err != nil {
		return nil, err
	}
	if report, events, err = judgeGuests(dir, rec.Guests, report, events); err != nil {
		return nil, err
	}
	return report, errors.Join(writeEvents(filepath.Join(dir, eventsFile), events), writeJSON(filepath.Join(dir, reportFile), report))
}

// judgeOne judges what one guest left in dir, without those that came after it.
func judgeOne(dir string) (*verdict.Report, []gotest.Event, error) {
	rec, err := readRecorded(dir)
	if err != nil {
		return nil, nil, err
	}
	in := verdict.In{Plan: rec.Plan, KUnit: rec.KUnit, End: rec.End, EndNote: rec.EndNote, Asked: rec.Asked, Cut: rec.Cut, Allow: rec.Allow, Run: rec.Run}
	if in.Console, err = readBounded(filepath.Join(dir, consoleFile)); err != nil {
		return nil, nil, err
	}
	results, err := readBounded(filepath.Join(dir, resultsFile))
	if err != nil {
		return nil, nil, err
	}
	dec := newDecoder(rec.Plan)
	var events []gotest.Event
	in.BadRecords, err = vm.ReadRecords(bytes.NewReader(results), func(w wire.Record) {
		in.Records = append(in.Records, w)
		events = append(events, dec.add(w)...)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, resultsFile), err)
	}
	report := verdict.Judge(in)
	decodeStacks(report, rec.Symbols)
	return report, events, nil
}

// Load reads the report of the run in dir, as it was judged.
func Load(dir string) (*verdict.Report, error) {
	if _, err := readRecorded(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, reportFile)
	data, err := readBounded(path)
	if err != nil {
		return nil, usagef("%s has not been judged: %w (see 'runvm help judge')", dir, err)
	}
	var number struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &number); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if number.Schema != verdict.Schema {
		return nil, usagef("%s: written by another version of runvm (schema %d, this one reads %d): judge the run again with 'runvm judge %s'", path, number.Schema, verdict.Schema, dir)
	}
	report := &verdict.Report{}
	if err := json.Unmarshal(data, report); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return report, nil
}

// Console reads the console log of the run in dir.
func Console(dir string) ([]byte, error) { return readBounded(filepath.Join(dir, consoleFile)) }

// OtherConsole reads the console log of a further guest of r, the report of
// the run in dir, by the name that r has for it; nil when dir has none such,
// as when only a part of a run was kept.
func OtherConsole(dir string, r *verdict.Report, name string) []byte {
	rel, err := filepath.Rel(r.Run.Dir, name)
	if err != nil || !filepath.IsLocal(rel) {
		return nil
	}
	log, err := readBounded(filepath.Join(dir, rel))
	if err != nil {
		return nil
	}
	return log
}

// Events reads events.json of the run in dir, as the last judgement wrote it.
func Events(dir string) ([]byte, error) { return readBounded(filepath.Join(dir, eventsFile)) }

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecorded+1))
	if err == nil && len(data) > maxRecorded {
		err = fmt.Errorf("%s: larger than %d MiB", path, maxRecorded>>20)
	}
	return data, err
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return writeWhole(path, append(data, '\n'))
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, data []byte) error { return renameio.WriteFile(path, data, 0o644) }

// writeEvents writes what `go test -json` would have.
func writeEvents(path string, events []gotest.Event) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return renameio.WriteFile(path, b.Bytes(), 0o644)
}
