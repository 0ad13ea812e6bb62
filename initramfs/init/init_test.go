package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// marks scans text in pieces of n bytes.
func marks(text string, n int) string {
	var found []string
	m := &marker{mark: func(name string) { found = append(found, name) }}
	for len(text) > 0 {
		part := text[:min(n, len(text))]
		text = text[len(part):]
		m.scan([]byte(part))
	}
	return strings.Join(found, "|")
}

func TestMarkerFindsStartsOfTests(t *testing.T) {
	t.Parallel()
	const text = "x\n\x16=== RUN   TestA\nhalf\x16=== RUN   TestA/b c\n=== RUN   TestNot\n\x16=== PAUSE TestA\n\x16=== CONT  TestA/b c\n\x16\x16=== RUN   TestB\n\x16=== NAME  TestA\n"
	for _, n := range []int{1, 2, 7, 1000} {
		if got := marks(text, n); got != "TestA|TestA/b c|TestA/b c|TestB" {
			t.Errorf("in pieces of %d: %s", n, got)
		}
	}
	endless := framing + "RUN " + strings.Repeat("n", 10*maxName)
	if got := marks(endless, 100); len(got) > maxName || got == "" {
		t.Errorf("an endless name was marked with %d bytes", len(got))
	}
}

// A leak check that was asked for and cannot be made is an error; one that
// nobody asked for is none.
func TestLeakCheckThatIsMissing(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "kmemleak")
	if l, err := newLeakCheck(missing, "console=ttyS0 kmemleak=off"); l != nil || err != nil {
		t.Errorf("not asked for: %v, %v", l, err)
	}
	if _, err := newLeakCheck(missing, "quiet kmemleak=on panic=-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asked for: %v", err)
	}
}

func FuzzMarker(f *testing.F) {
	f.Add("a\x16=== RUN   TestA\n\x16=== RUN \n", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(1, n&0xff)
		if strings.Contains(text, strings.Repeat("n", maxName/2)) || len(text) > maxName/2 {
			return // where a name is cut depends on the pieces
		}
		if got, want := marks(text, n), marks(text, 1<<20); got != want {
			t.Errorf("in pieces of %d: %q, at once %q", n, got, want)
		}
	})
}

// No output makes a record longer than the host reads, and all comes back.
func TestOutputFitsIntoRecords(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"x", "\x00", "\xff", "é", "\"", "\u2028", "\x01xxxxxxxxxxxxxxx", "<", "\n", "\x7f"} {
		data := []byte(strings.Repeat(unit, wire.MaxChunk/len(unit)))
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(chunk{1, data}.record(strings.Repeat("i", 1000))); err != nil {
			t.Fatal(err)
		}
		if line.Len() > wire.MaxLine {
			t.Errorf("%q: a record of %d bytes", unit, line.Len())
		}
		var back wire.Record
		if err := json.Unmarshal(line.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Bytes(), data) {
			t.Errorf("%q came back different", unit)
		}
	}
}

func TestQueueKeepsOrderAndBound(t *testing.T) {
	t.Parallel()
	q := newQueue()
	const total = 5 * maxQueued
	go func() {
		for i := range total {
			q.put(1+i/1000%2, []byte{byte(i)})
		}
		q.close()
	}()
	i := 0
	for c, ok := q.take(); ok; c, ok = q.take() {
		if len(c.data) > wire.MaxChunk {
			t.Fatalf("a chunk of %d bytes", len(c.data))
		}
		for _, b := range c.data {
			if b != byte(i) || c.stream != 1+i/1000%2 {
				t.Fatalf("byte %d is %d of stream %d", i, b, c.stream)
			}
			i++
		}
	}
	if i != total {
		t.Errorf("%d bytes of %d came out", i, total)
	}
	q.put(1, []byte("late"))
	if _, ok := q.take(); ok {
		t.Error("a closed queue took more")
	}
}

func TestFindPortByName(t *testing.T) {
	t.Parallel()
	class := t.TempDir()
	for dev, name := range map[string]string{"vport0p0": "", "vport0p1": "other\n", "vport1p2": wire.Port + "\n"} {
		if err := os.MkdirAll(filepath.Join(class, dev), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, dev, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findPort(class, wire.Port, time.Second); got != "vport1p2" {
		t.Errorf("found %q, %v", got, err)
	}
	if _, err := findPort(class, "missing", 10*time.Millisecond); err == nil {
		t.Error("found a port that is not there")
	}
}

func TestProcessesAreToldFromThreadsOfTheKernel(t *testing.T) {
	t.Parallel()
	for stat, want := range map[string]bool{
		"7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2":    true,
		"8 (disk) D 1 7 7 0 -1 4194560 1 2":        true,
		"9 (zombie) Z 1 7 7 0 -1 4194560 1 2":      false,
		"10 (kworker/0:1) I 2 0 0 0 -1 69238880 0": false,
		"11 (short) S": false,
		"":             false,
	} {
		if got := isProcess(stat); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}

func TestUnescapePaths(t *testing.T) {
	t.Parallel()
	if got := unescape(`/mnt/a\040b\134040\011`); got != "/mnt/a b\\040\t" {
		t.Errorf("%q", got)
	}
}

func TestPrintableIsOneShortLine(t *testing.T) {
	t.Parallel()
	if got := printable("a\nb\x1b[31mé" + strings.Repeat("x", 2*maxLine)); len(got) > maxLine || !strings.HasPrefix(got, "a?b?[31m?") {
		t.Errorf("%q", got)
	}
}
