package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/wire"
)

func TestBoundedPassesOnAllThatFits(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 4, 99, 100} {
		var out strings.Builder
		b := newBounded(&out, 100)
		want := strings.Repeat("0123456789", 10)[:n]
		for _, c := range []byte(want) {
			if _, err := b.Write([]byte{c}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil || out.String() != want || b.dropped() != 0 {
			t.Errorf("%d bytes: %q, %v", n, out.String(), err)
		}
	}
}

func TestBoundedSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	b := newBounded(&out, 100)
	fmt.Fprint(b, strings.Repeat("a", 75), strings.Repeat("-", 30), strings.Repeat("z", 25))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("a", 75) + "\n[runvm: console too long: 30 bytes left out here]\n" + strings.Repeat("z", 25)
	if out.String() != want || b.seen != 130 {
		t.Errorf("%q, %d seen", out.String(), b.seen)
	}
}

// recordAll feeds stream to a recorder in pieces of size and returns what it
// copied and what it handed out.
func recordAll(t *testing.T, stream []byte, size int, limit int64) (string, []wire.Record, *recorder) {
	t.Helper()
	var out bytes.Buffer
	var records []wire.Record
	r := newRecorder(&out, limit, func(rec wire.Record) { records = append(records, rec) })
	for len(stream) > 0 {
		n := min(size, len(stream))
		if _, err := r.Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), records, r
}

// What was recorded reads back as what was handed out, whatever the guest sent.
func FuzzRecorder(f *testing.F) {
	hello := `{"t":"hello"}` + "\n"
	for _, s := range []string{"", hello, hello + `{"t":"ou`, "x\n\n" + hello, `{"t":"out","text":"` + strings.Repeat("x", 300) + `"}` + "\n" + hello} {
		f.Add([]byte(s), 7, int64(200), 0)
		f.Add([]byte(s), 1000, int64(1<<20), wire.MaxLine)
	}
	f.Fuzz(func(t *testing.T, stream []byte, size int, limit int64, pad int) {
		if size < 1 || limit < 0 || pad < 0 || pad > 2*wire.MaxLine {
			t.Skip()
		}
		stream = append(bytes.Repeat([]byte("p"), pad), stream...)
		text, want, r := recordAll(t, stream, size, limit)
		if int64(len(text)) > max(limit, closingRoom) {
			t.Errorf("%d bytes for a bound of %d", len(text), limit)
		}
		var got []wire.Record
		bad, err := ReadRecords(strings.NewReader(text), func(rec wire.Record) { got = append(got, rec) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("handed out and recorded differ:\n%s", diff)
		}
		if r.dropped == 0 && bad != r.bad {
			t.Errorf("%d bad lines read back, %d seen", bad, r.bad)
		}
	})
}

func TestReadRecordsRefusesLongLines(t *testing.T) {
	t.Parallel()
	line := func(n int) string {
		frame := len(`{"t":"out","text":""}` + "\n")
		return `{"t":"out","text":"` + strings.Repeat("x", n-frame) + `"}` + "\n"
	}
	n := 0
	bad, err := ReadRecords(strings.NewReader(line(wire.MaxLine)+line(wire.MaxLine+1)+line(100)), func(wire.Record) { n++ })
	if n != 2 || bad != 1 || err != nil {
		t.Errorf("%d records, %d bad, %v", n, bad, err)
	}
}

func FuzzReadQMP(f *testing.F) {
	f.Add([]byte(`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}`))
	f.Add([]byte(`{"event": "GUEST_PANICKED"}` + "\n" + `{"error": {"desc": "no"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = readQMP(bytes.NewReader(text), time.Now(), func(e Event) {
			if e.Name == "" || len(e.Data) > maxData {
				t.Errorf("event %+v", e)
			}
			e.reason()
		}, func(string) {})
	})
}

// Each archive starts at a multiple of 4 bytes.
func TestJoin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	for _, text := range []string{"12345", "1234", "1"} {
		paths = append(paths, filepath.Join(dir, text))
		if err := os.WriteFile(filepath.Join(dir, text), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &channels{}
	defer c.close()
	path, err := c.join(paths)
	if err != nil || path != "/proc/self/fd/3" {
		t.Fatal(path, err)
	}
	if _, err := c.child[0].Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c.child[0])
	if want := "12345\x00\x00\x0012341\x00\x00\x00"; string(got) != want || err != nil {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if one, err := c.join(paths[:1]); one != paths[0] || err != nil {
		t.Errorf("one archive: %s, %v", one, err)
	}
}
