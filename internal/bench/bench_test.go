package bench

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"
)

// recorded are two runs of four benchmarks.
const recorded = `kernel: 6.12
pkg: example.com/reads
BenchmarkRead/path=copy/size=4KiB/on=tmpfs 	 10	 200 instr/KiB	 2.0 B/B
BenchmarkRead/path=fill/size=4KiB/on=tmpfs 	 10	 190 instr/KiB	 1.0 B/B
noise
BenchmarkRead/path=copy/size=1MiB/on=tmpfs 	 10	 100 instr/KiB	 2.0 B/B
BenchmarkRead/path=fill/size=1MiB/on=tmpfs 	 10	 30 instr/KiB	 1.0 B/B
BenchmarkRead/path=copy/size=4KiB/on=tmpfs 	 10	 202 instr/KiB
BenchmarkOther 	 10	 5 ns/op
`

func set(t *testing.T) *Set {
	t.Helper()
	s := New(Layout{Line: "path", X: "size"})
	if err := s.Add("reads", strings.NewReader(recorded)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNamesAreTakenApart(t *testing.T) {
	s := set(t)
	if len(s.Rows) != 5 {
		t.Fatalf("%d rows, want 5", len(s.Rows))
	}
	row := s.Rows[0]
	if row.Base != "Read" || row.Value("path") != "copy" || row.Value("size") != "4KiB" || row.Value("on") != "tmpfs" {
		t.Errorf("row is %+v", row)
	}
	if m := row.Medians["instr/KiB"]; m.N != 2 || m.Center != 201 {
		t.Errorf("median is %+v, want 201 of 2", m)
	}
	if len(s.Notes) != 2 || s.Notes[0] != (Pair{"kernel", "6.12"}) {
		t.Errorf("notes are %v", s.Notes)
	}
}

func TestTextHasABlockForEachGroup(t *testing.T) {
	var b bytes.Buffer
	if err := set(t).Text(&b); err != nil {
		t.Fatal(err)
	}
	const want = `Read on=tmpfs
  size  path  instr/KiB  B/B    n
  4KiB  copy  201.0      2.000  2
  4KiB  fill  190.0      1.000  1
  1MiB  copy  100.0      2.000  1
  1MiB  fill  30.00      1.000  1

Other
  size  path  sec/op  n
              5.000n  1

kernel   6.12
pkg      example.com/reads
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCSVHasALineForEachFigure(t *testing.T) {
	var b bytes.Buffer
	if err := set(t).CSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+9 {
		t.Fatalf("%d lines, want 10", len(lines))
	}
	if got, want := strings.Join(lines[1], " "), "example.com/reads Read copy 4KiB tmpfs instr/KiB 2 201 201 201"; got != want {
		t.Errorf("first line is %q, want %q", got, want)
	}
}

func TestPicturesAreWhole(t *testing.T) {
	p, err := set(t).Picture("instr/KiB")
	if err != nil || p == nil {
		t.Fatalf("picture: %v, %v", p, err)
	}
	var image, drawing bytes.Buffer
	if err := p.PNG(&image); err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(&image); err != nil {
		t.Errorf("PNG: %v", err)
	}
	if err := p.SVG(&drawing); err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(bytes.NewReader(drawing.Bytes())); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("SVG: %v", err)
		}
	}
	for _, text := range []string{"copy", "fill", "4KiB", "1MiB", "on=tmpfs", "instr/KiB"} {
		if !strings.Contains(drawing.String(), text) {
			t.Errorf("the drawing says nothing of %q", text)
		}
	}
}

func TestOnePointIsNoPicture(t *testing.T) {
	if p, err := set(t).Picture("sec/op"); p != nil || err != nil {
		t.Errorf("picture of a single figure: %v, %v", p, err)
	}
}

// TestLevelLinesAreDrawn: an axis of one value has two ends all the same.
// TestLinesOfNothingAreInTheLegendAlone: they would stretch a logarithmic axis, or
// there could be none.
func TestLinesOfNothingAreInTheLegendAlone(t *testing.T) {
	s := New(Layout{Line: "path", X: "size"})
	text := "BenchmarkRead/path=copy/size=4KiB 1 4000 instr\nBenchmarkRead/path=copy/size=1MiB 1 200 instr\n" +
		"BenchmarkRead/path=none/size=4KiB 1 0 instr\nBenchmarkRead/path=none/size=1MiB 1 3.4 instr\n"
	if err := s.Add("reads", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	p, err := s.Picture("instr")
	if err != nil || !p.log || p.panels[0][0].Y.Min < 100 {
		t.Fatalf("%v; want a logarithmic axis from 200 on: %+v", err, p)
	}
	var b bytes.Buffer
	if err := p.SVG(&b); err != nil || !strings.Contains(b.String(), "none (3.4)") {
		t.Errorf("%v: the legend does not say that none has 3.4 at most", err)
	}
}

func TestLevelLinesAreDrawn(t *testing.T) {
	p, err := set(t).Picture("B/B")
	if err != nil || p == nil {
		t.Fatalf("picture: %v, %v", p, err)
	}
	s := New(Layout{Line: "path", X: "size"})
	if err := s.Add("x", strings.NewReader("BenchmarkX/size=1 1 1 u\nBenchmarkX/size=1B 1 1 u\n")); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Picture("u"); err != nil || p == nil {
		t.Fatalf("picture of one point twice: %v, %v", p, err)
	}
	if err := p.SVG(io.Discard); err != nil {
		t.Error(err)
	}
}

const bars = `
[[bar]]
claim = "filling costs at most half of copying"
of    = "/path:fill"
than  = "path=copy"
unit  = "instr/KiB"
most  = 0.5

[[bar]]
claim = "nothing is copied twice"
of    = "/path:fill"
unit  = "B/B"
most  = 1

[[bar]]
claim = "moving is cheap"
of    = "/path:move"
than  = "path=copy"
unit  = "instr/KiB"
most  = 1
`

func TestBarsAreHeldAgainstTheWorst(t *testing.T) {
	all, err := Bars([]byte(bars))
	if err != nil {
		t.Fatal(err)
	}
	found := set(t).Check(all)
	half := found[0]
	if half.OK() || half.Met != 1 || half.All != 2 || math.Abs(half.Figure.Center-190.0/201) > 1e-9 || half.Of != "Read/path=fill/size=4KiB/on=tmpfs" {
		t.Errorf("half: %+v", half)
	}
	if once := found[1]; !once.OK() || once.All != 2 || once.Figure.Center != 1 {
		t.Errorf("once: %+v", once)
	}
	if none := found[2]; none.OK() || none.All != 0 {
		t.Errorf("none: %+v", none)
	}
	var b bytes.Buffer
	if err := Findings(&b, found); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MISSED   0.945    filling costs", "met      1.000    nothing is copied twice", "unknown           moving is cheap"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestRatiosAreWithinRuns: one run is three times as slow as the others in all it
// does, and no ratio is of two runs.
func TestRatiosAreWithinRuns(t *testing.T) {
	var text strings.Builder
	for run := range 10 {
		slow := 1
		if run%2 == 1 {
			slow = 3
		}
		fmt.Fprintf(&text, "BenchmarkRead/path=copy 1 %d instr\nBenchmarkRead/path=fill 1 %d instr\n", 1000*slow, (300+run)*slow)
	}
	s := New(Layout{Line: "path", X: "size"})
	if err := s.Add("reads", strings.NewReader(text.String())); err != nil {
		t.Fatal(err)
	}
	bars, err := Bars([]byte(`
[[bar]]
claim = "a third"
of = "/path:fill"
than = "path=copy"
unit = "instr"
most = 0.307
[[bar]]
claim = "a third, in both places"
of = "/path:fill"
than = "path=copy"
unit = "instr"
most = 0.5
cells = 2
`))
	if err != nil {
		t.Fatal(err)
	}
	found := s.Check(bars)
	third := found[0]
	if f := third.Figure; !third.OK() || third.Sure != 0 || math.Abs(f.Center-0.3045) > 1e-9 || math.Abs(f.Lo-0.301) > 1e-9 || math.Abs(f.Hi-0.308) > 1e-9 {
		t.Errorf("a third: %+v, want 0.3045 of 0.301 to 0.308, which meets the bar and not surely", third)
	}
	var b bytes.Buffer
	if err := Findings(&b, found); err != nil || !strings.Contains(b.String(), "0.304  0.301 to 0.308  a third  ") || !strings.Contains(b.String(), "≤ 0.307 in 1 of 1, surely in 0, worst") {
		t.Errorf("%v:\n%s", err, &b)
	}
	if found[1].Sure != 1 || found[1].OK() {
		t.Errorf("%+v: met for sure in one place of two, which is not enough", found[1])
	}
}

func TestWrongBarsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "no [[bar]]",
		"[[bar]]\nclaim='x'":  "bar 1: claim, of, unit and most are needed",
		"[[bar]]\nclaims='x'": "unknown key bar.claims",
		"[[bar]]\ncells=-1":   "bar 1: cells: -1 is less than 0",
		strings.Replace(bars, "/path:fill", "/path:(", 1): "bar 1: of: ",
		strings.Replace(bars, "path=copy", "path", 1):     `bar 1: than: "path" is not KEY=VALUE`,
	} {
		if _, err := Bars([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", text, err, want)
		}
	}
}

// FuzzAdd: whatever a guest writes, it is shown or left out.
func FuzzAdd(f *testing.F) {
	f.Add(recorded)
	f.Add("BenchmarkX/path=\x1b[31m/size=-1e999 1 1e400 x\nBenchmarkX/size=0 1 0 ns/op\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := New(Layout{Line: "path", X: "size"})
		_ = s.Add("p", strings.NewReader(text))
		if err := s.Text(io.Discard); err != nil {
			t.Error(err)
		}
		if err := s.CSV(io.Discard); err != nil {
			t.Error(err)
		}
		for _, unit := range s.Units {
			if p, err := s.Picture(unit); err == nil && p != nil {
				if err := p.SVG(io.Discard); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
