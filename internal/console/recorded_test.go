package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected readings in testdata")

// A recording is a file of testdata: comments and the expected reading, one
// JSON object a crash, as lines that start with "# " and "= ", an empty line,
// and the log.
type recording struct {
	file     string
	comments []string
	want     []string
	log      []byte
}

// A reading is what a recording promises of a crash.
type reading struct {
	Kind      Kind     `json:"kind"`
	Fault     Fault    `json:"fault"`
	Title     string   `json:"title"`
	Guilty    string   `json:"guilty,omitempty"`
	Lines     [2]int   `json:"lines"`
	Corrupted bool     `json:"corrupted,omitempty"`
	Frames    []string `json:"frames,omitempty"` // the first three
}

func read(c Crash) reading {
	r := reading{Kind: c.Kind, Fault: c.Fault, Title: c.Title, Guilty: c.Guilty.Func, Lines: c.Lines, Corrupted: c.Corrupted}
	for _, f := range c.Frames[:min(len(c.Frames), 3)] {
		r.Frames = append(r.Frames, f.Func)
	}
	return r
}

// maxRecording bounds a file of testdata, in bytes.
const maxRecording = 64 << 10

// recorded reads testdata.
func recorded(t testing.TB) []recording {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in testdata: %v", err)
	}
	var all []recording
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxRecording {
			t.Fatalf("%s has %d bytes, more than %d: cut what tells nothing", file, len(data), maxRecording)
		}
		head, log, ok := bytes.Cut(data, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s has no header", file)
		}
		r := recording{file: file, log: log}
		for _, l := range strings.Split(string(head), "\n") {
			if want, ok := strings.CutPrefix(l, "= "); ok {
				r.want = append(r.want, want)
			} else {
				r.comments = append(r.comments, l)
			}
		}
		all = append(all, r)
	}
	return all
}

// TestRecorded reads the logs of testdata as their headers promise.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, r := range recorded(t) {
		t.Run(filepath.Base(r.file), func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range Find(r.log) {
				line, err := json.Marshal(read(c))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(line))
			}
			if *update {
				r.rewrite(t, got)
				return
			}
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// rewrite puts got into the header.
func (r *recording) rewrite(t *testing.T, got []string) {
	t.Helper()
	head := strings.Join(r.comments, "\n")
	for _, g := range got {
		head += "\n= " + g
	}
	if err := os.WriteFile(r.file, append([]byte(head+"\n\n"), r.log...), 0o644); err != nil {
		t.Fatal(err)
	}
}
