package rsplice

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/docs"
	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// An errorRow is a row of ERRORS in the manual: its name is the error's, a
// slash, and when. The test gets the error that it is to see.
type errorRow struct {
	name string
	test func(t *testing.T, want unix.Errno)
}

func errorRows() []errorRow {
	return slices.Concat(argumentErrors(), pipeErrors(), sourceErrors(), requestErrors(), replyErrors(), completeErrors())
}

// TestErrors tests each row of ERRORS in the manual.
func TestErrors(t *testing.T) {
	need(t)
	for _, row := range errorRows() {
		t.Run(row.name, func(t *testing.T) { row.test(t, row.errno(t)) })
	}
}

func (row errorRow) errno(t *testing.T) unix.Errno {
	t.Helper()
	name, _, _ := strings.Cut(row.name, "/")
	if name == "EOPNOTSUPP" {
		name = "ENOTSUP" // as package unix has it
	}
	for no := unix.Errno(1); no < 200; no++ {
		if unix.ErrnoName(no) == name {
			return no
		}
	}
	t.Fatalf("row %s: no such error", row.name)
	return 0
}

// TestManualListsWhatIsTested needs no guest: each row of ERRORS has a test and
// each test a row, by name, and the name begins with the error of the row.
func TestManualListsWhatIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, row := range errorRows() {
		tested[row.name] = true
		row.errno(t)
	}
	_, section, _ := strings.Cut(docs.Rsplice, "\n.SH ERRORS\n")
	section, _, _ = strings.Cut(section, "\n.SH ")
	rows := regexp.MustCompile(`(?m)(?:^\.\\" row (\S+)\n)?^\.TP\n\.B (E\w+)$`).FindAllStringSubmatch(section, -1)
	if len(rows) < 30 || strings.Count(section, "\n.TP\n") != len(rows) {
		t.Fatalf("%d rows of ERRORS in %d bytes: not understood", len(rows), len(section))
	}
	for _, row := range rows {
		name, errno := row[1], row[2]
		switch {
		case name == "":
			t.Errorf("a row of %s in the manual has no name", errno)
		case !strings.HasPrefix(name, errno+"/"):
			t.Errorf("row %s of the manual is one of %s", name, errno)
		case !tested[name]:
			t.Errorf("row %s of the manual has no test, or is there twice", name)
		}
		delete(tested, name)
	}
	for name := range tested {
		t.Errorf("row %s is tested but not in the manual", name)
	}
}

// withRead runs a test with a READ of one page, which it need not answer, and
// which must not have been spoiled by it.
func withRead(t *testing.T, openFlags uint32, test func(s *server, req request)) {
	t.Helper()
	s := mount(t, openFlags)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	test(s, req)
	if err := s.replyData(req, req.size); err != nil && err != unix.ENOENT {
		t.Errorf("reply: %v", err)
	}
	r.gets(t, s, guest.PageSize())
}

// raw is the call with pointers that the compiler would not let through.
func raw(dst int, offDst uintptr, src int, offSrc uintptr, size uintptr, flags int) (int, error) {
	n, _, errno := unix.Syscall6(rsplice.Number(), uintptr(dst), offDst, uintptr(src), offSrc, size, uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
