package ktap

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// read gives text to a Reader in pieces of size bytes.
func read(text string, size int) *Document {
	var r Reader
	for len(text) > size {
		_, _ = r.Write([]byte(text[:size]))
		text = text[size:]
	}
	_, _ = r.Write([]byte(text))
	return r.Close()
}

// show writes a Document down, a test a line.
func show(d *Document) string {
	if d == nil {
		return "not the protocol\n"
	}
	var b strings.Builder
	for _, said := range [][2]string{{"missing", d.Missing}, {"skipped", d.Skipped}, {"bail", d.Bail}} {
		if said[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", said[0], said[1])
		}
	}
	list(&b, d.Tests, "")
	return b.String()
}

func list(b *strings.Builder, tests []Test, indent string) {
	for _, t := range tests {
		fmt.Fprintf(b, "%s%s %s", indent, t.Status, t.Name)
		if t.Why != "" {
			fmt.Fprintf(b, " (%s)", t.Why)
		}
		b.WriteString("\n")
		for _, line := range strings.Split(strings.TrimRight(t.Output, "\n"), "\n") {
			if line != "" {
				fmt.Fprintf(b, "%s  | %s\n", indent, line)
			}
		}
		list(b, t.Tests, indent+"  ")
	}
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.*tap")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range append(files, "testdata/foreign.txt") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := show(read(string(text), 1<<20))
		if piecewise := show(read(string(text), 3)); piecewise != got {
			t.Errorf("%s: read in pieces:\n%s", file, cmp.Diff(got, piecewise))
		}
		golden := file + ".want"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString("KTAP version 1\n")
	for i := range MaxTests + 10 {
		fmt.Fprintf(&many, "# %s\nnot ok %d a\n", strings.Repeat("x", 300), i+1)
	}
	d := read(many.String(), 1<<20)
	size := 0
	for _, test := range d.Tests {
		size += len(test.Output)
	}
	if len(d.Tests) != MaxTests || !d.Cut || size > maxKept+MaxOutput {
		t.Errorf("%d tests, cut %v, %d bytes of output", len(d.Tests), d.Cut, size)
	}
	var deep strings.Builder
	for i := range 100 {
		deep.WriteString(strings.Repeat("  ", i) + "KTAP version 1\n")
	}
	if d := read(deep.String(), 1<<20); depth(d.Tests) > MaxDepth {
		t.Errorf("%d levels", depth(d.Tests))
	}
	long := "KTAP version 1\nok 1 " + strings.Repeat("n", 1<<20) + "\n# " + strings.Repeat("x", 1<<20) + "\nnot ok 2 b\n"
	d = read(long, 1<<20)
	if n := len(d.Tests[0].Name); n > MaxName+3 {
		t.Errorf("a name of %d bytes", n)
	}
	if n := len(d.Tests[1].Output); n > MaxOutput {
		t.Errorf("an output of %d bytes", n)
	}
}

func depth(tests []Test) int {
	deepest := 0
	for _, t := range tests {
		deepest = max(deepest, 1+depth(t.Tests))
	}
	return deepest
}

// FuzzReader gives the reader what a hostile guest may write: whatever it is,
// the bounds hold, names are unique and printable, and the cut of the writes
// makes no difference.
func FuzzReader(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.*tap")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), 7)
	}
	f.Add("KTAP version 1\n\x00\xff # \n1..99999999999\nok 1 # #\n  # Subtest: \n", 1)
	f.Fuzz(func(t *testing.T, text string, size int) {
		d := read(text, 1<<20)
		if diff := cmp.Diff(show(d), show(read(text, max(1, size%64)))); diff != "" {
			t.Error(diff)
		}
		if d != nil {
			checkNames(t, d.Tests)
		}
	})
}

func checkNames(t *testing.T, tests []Test) {
	seen := map[string]bool{}
	for _, test := range tests {
		if test.Name == "" || seen[test.Name] || strings.ContainsAny(test.Name, "/\n\x1b\x00") || len(test.Name) > MaxName+100 {
			t.Errorf("name %q", test.Name)
		}
		seen[test.Name] = true
		if test.Status == Pass && test.Output != "" {
			t.Errorf("%s passed and has an output", test.Name)
		}
		checkNames(t, test.Tests)
	}
}

// TestLines finds each result in the line that it is said to be in.
func TestLines(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/kunit.ktap")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	doc := read(string(text), 7)
	found := 0
	var look func(tests []Test)
	look = func(tests []Test) {
		for _, test := range tests {
			name, _, _ := strings.Cut(test.Name, "#")
			if test.Line > 0 {
				found++
				if line := lines[test.Line-1]; !strings.Contains(line, "ok ") || !strings.Contains(line, name) {
					t.Errorf("%s is not in line %d, %q", test.Name, test.Line, line)
				}
			}
			look(test.Tests)
		}
	}
	look(doc.Tests)
	if last := lines[doc.Line-1]; found < 10 || !strings.Contains(last, "ok ") {
		t.Errorf("%d results; the last line is %d, %q", found, doc.Line, last)
	}
}
