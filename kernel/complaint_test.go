package kernel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
)

func TestSparseIsReadOutOfMake(t *testing.T) {
	t.Parallel()
	const out = `  CC      fs/a.o
/src/fs/a.c:12:5: warning: symbol 'x' was not declared. Should it be static?
/src/fs/a.c:13:5: warning: unused variable ‘y’ [-Wunused-variable]
/src/fs/../include/linux/b.h:3:1: error: undefined identifier 'z'
/src/fs/a.c: note: in included file (through b.h):
make[1]: *** [a.o] Error 1
`
	want := []Complaint{
		{Tool: "sparse", Type: "warning", File: "fs/a.c", Line: 12, Text: "symbol 'x' was not declared. Should it be static?"},
		{Tool: "sparse", Type: "error", File: "include/linux/b.h", Line: 3, Text: "undefined identifier 'z'"},
	}
	if d := cmp.Diff(want, parseSparse([]byte(out), "/src/", "/obj/")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if all := parseSparse([]byte(strings.Repeat(out, maxComplaints))); len(all) != maxComplaints {
		t.Errorf("%d complaints, want %d", len(all), maxComplaints)
	}
}

func TestOnlyWhatIsNewIsNew(t *testing.T) {
	t.Parallel()
	at := func(line int, text string) Complaint {
		return Complaint{Tool: "sparse", Type: "warning", File: "fs/a.c", Line: line, Text: text}
	}
	before := []Complaint{at(3, "context imbalance at 3"), at(9, "one of two")}
	after := []Complaint{at(5, "context imbalance at 5"), at(11, "one of two"), at(12, "one of two"), at(20, "new")}
	if d := cmp.Diff(after[2:], New(before, after)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A checkpatch that says what it was asked and with what.
const standInCheckpatch = `#!/usr/bin/perl
print "fs/a.c:12: WARNING:LONG_LINE: line length of 120 exceeds 100 columns\n";
print "fs/a.c:99: ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)\n";
print "the.patch:4: WARNING:TYPO_SPELLING: 'teh' may be misspelled\n";
print "nothing to read\n";
open(F, $ARGV[-1]); print "CHECK:MAIL: ", scalar(<F>);
print "CHECK:SPELLING: $ENV{HOME}\n" if ! -e "spelling.txt" || "@ARGV" !~ /--strict/;
exit 1;
`

func TestCheckpatchIsTheTreesOwn(t *testing.T) {
	t.Parallel()
	files := map[string]string{"scripts/checkpatch.pl": standInCheckpatch, "scripts/spelling.txt": "teh||the\n"}
	c, err := NewCheckpatch(sh.Runner{}, func(name string) ([]byte, bool) { text, ok := files[name]; return []byte(text), ok })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Check(t.Context(), []byte("From me\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Complaint{
		{Tool: "checkpatch", Type: "WARNING:LONG_LINE", File: "fs/a.c", Line: 12, Text: "line length of 120 exceeds 100 columns"},
		{Tool: "checkpatch", Type: "ERROR:MISSING_SIGN_OFF", Text: "Missing Signed-off-by: line(s)"},
		{Tool: "checkpatch", Type: "WARNING:TYPO_SPELLING", Text: "'teh' may be misspelled"},
		{Tool: "checkpatch", Type: "CHECK:MAIL", Text: "From me"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if none, err := NewCheckpatch(sh.Runner{}, func(string) ([]byte, bool) { return nil, false }); none != nil || err != nil {
		t.Errorf("a tree without checkpatch: %v, %v", none, err)
	}
}
