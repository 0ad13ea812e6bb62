package readtest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
)

func TestEveryCaseHasOneName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range Cases() {
		if c.run == nil || len(c.trees) == 0 || seen[c.Name] {
			t.Errorf("case %q: twice, or without a test or a tree", c.Name)
		}
		seen[c.Name] = true
	}
}

func TestCasesApplyToPaths(t *testing.T) {
	t.Parallel()
	asks := Case{trees: []string{files}, asks: true}
	for _, p := range fusesrv.Paths() {
		if got := asks.applies(p, files); got == p.InKernel {
			t.Errorf("path %s: a case about READs applies: %v", p.Name, got)
		}
		if asks.applies(p, memory) {
			t.Errorf("path %s: a case about files applies to memory", p.Name)
		}
		if !serves(p, files) || serves(p, memory) != (p.Needs == fusesrv.Memory) || serves(p, sockets) == p.InKernel {
			t.Errorf("path %s: wrong trees", p.Name)
		}
	}
}

func TestPoisonIsFound(t *testing.T) {
	t.Parallel()
	f := makeFile("f", 1, 1<<20)
	b := make([]byte, f.Size)
	_, _ = f.Of.ReadAt(b, 0)
	var rec recorder
	same(&rec, f.Of, b, 0)
	clean(&rec, b, 0)
	if rec.errors != 0 {
		t.Errorf("%d errors in what is right", rec.errors)
	}
	copy(b[5000:], poisonWord)
	if same(&rec, f.Of, b, 0); rec.errors != 2 {
		t.Errorf("poison: %d errors, want 2: the bytes and what they are", rec.errors)
	}
	if zero(&rec, b[5000:5010], 0); rec.errors != 4 {
		t.Errorf("poison in place of zeroes: %d errors, want 2 more", rec.errors)
	}
}

// A history must find old bytes, and zeroes where there is no hole, and let those
// pass that a read beside a change may find.
func TestHistoryTellsOldFromNew(t *testing.T) {
	t.Parallel()
	f := makeFile("f", 1, 4*sector)
	h := newHistory(f, true)
	old := make([]byte, f.Size)
	_, _ = f.Of.ReadAt(old, 0)
	const off = 5 // of reads
	before := h.now(off, f.Size-off)
	changed := h.change(sector, 2*sector)
	torn := slices.Concat(old[off:sector], changed[:100], make([]byte, 100), old[sector+200:])
	fresh := slices.Concat(old[off:sector], changed, old[2*sector:])
	expect := func(when string, b []byte, m moment, right bool) {
		t.Helper()
		if err := h.check(b, off, m); (err == nil) != right {
			t.Errorf("%s: %v, want it to be right: %v", when, err, right)
		}
	}
	for name, b := range map[string][]byte{"old": old[off:], "torn": torn, "new": fresh} {
		expect(name+" bytes during a change", b, before, true)
	}
	h.changed(sector, 2*sector)
	after := h.now(off, f.Size-off)
	expect("old bytes in a read that began before", old[off:], before, true)
	expect("new bytes in a read that began afterwards", fresh, after, true)
	expect("old bytes in a read that began afterwards", old[off:], after, false)
	expect("torn bytes in a read that began afterwards", torn, after, false)
	zeroes := slices.Clone(fresh)
	clear(zeroes[3*sector-off:])
	expect("zeroes where nothing changes", zeroes, before, false)
	h.holes = false
	expect("zeroes without holes", torn, before, false)
	if err := h.check(old[off:], off, after); err == nil || !strings.Contains(err.Error(), "generation 0") {
		t.Errorf("old bytes are not called so: %v", err)
	}
}

// A recorder counts errors.
type recorder struct {
	testing.TB
	errors int
}

func (*recorder) Helper()                 {}
func (r *recorder) Error(...any)          { r.errors++ }
func (r *recorder) Errorf(string, ...any) { r.errors++ }

func TestGateHoldsAndFails(t *testing.T) {
	t.Parallel()
	var g gate
	g.do(order{Hold: fusesrv.StepFilled, Fail: unix.EIO})
	if no := g.pass(stepAsked); no != unix.EIO {
		t.Errorf("an answer at another step: %v, want EIO", no)
	}
	done := make(chan syscall.Errno)
	go func() { done <- g.pass(fusesrv.StepFilled) }()
	for g.status().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	g.do(order{Release: true, Mend: true})
	if no := <-done; no != 0 {
		t.Errorf("a mended answer: %v", no)
	}
}

func TestWrongRepliesAreSentOnce(t *testing.T) {
	t.Parallel()
	type sent struct {
		unique uint64
		size   int
	}
	for wrong, want := range map[string][]sent{
		wrongLong:    {{7, 101}},
		wrongTwice:   {{7, 50}, {7, 50}},
		wrongUnknown: {{7 + 1<<40, 50}},
		wrongShort:   {{7, 25}},
		"":           nil,
	} {
		var g gate
		var got []sent
		r := fusesrv.Reply{Unique: 7, Asked: 100, Size: 50, Send: func(unique uint64, size int) error {
			got = append(got, sent{unique, size})
			return unix.EINVAL
		}}
		g.do(order{Wrong: wrong})
		g.reply(r)
		g.reply(r)
		if !slices.Equal(got, want) {
			t.Errorf("%q: sent %v, want %v", wrong, got, want)
		}
		if s := g.status(); len(s.Sent) != len(want) || s.Largest != 100 {
			t.Errorf("%q: status %+v", wrong, s)
		}
	}
}

func TestDiskIsUnpacked(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "disk")
	if err := unpackDisk(name); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil || len(b) != diskSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if magic := [2]byte(b[1024+56 : 1024+58]); magic != [2]byte{0x53, 0xef} {
		t.Errorf("superblock's magic is %#x", magic)
	}
}

func TestRoleOfNothingIsNone(t *testing.T) {
	t.Parallel()
	if Role("", nil, nil, nil) {
		t.Error("a process without a role has one")
	}
	var errs recorderWriter
	if !Role(roleRead+"/nonexistent", nil, nil, &errs) || !errs.written {
		t.Error("a reader of nothing says nothing")
	}
}

type recorderWriter struct{ written bool }

func (w *recorderWriter) Write(b []byte) (int, error) {
	w.written = true
	return len(b), errors.ErrUnsupported
}
