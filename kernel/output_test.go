package kernel

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/runvm/runvm/kernel/source"
)

func TestReaderCountsAndKeeps(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	counted := 0
	r := &reader{log: &log, room: 1 << 20, step: func(n int) { counted = n }, trim: []string{"/c/src/"}}
	text := "make[1]: Entering directory '/c/obj'\n  CC      init/main.o\n  AR      built-in.a\n" +
		"  KSYMS   .tmp_vmlinux1.kallsyms.S\n  CC [M]  fs/x.o\n" +
		"/c/src/fs/a.c: In function 'f':\n/c/src/fs/a.c:3:1: warning: unused\n/c/src/fs/a.c:4:2: error: bad\n"
	for _, c := range []byte(text) {
		_, _ = r.Write([]byte{c})
	}
	if counted != 4 || log.String() != text {
		t.Errorf("counted %d, log %q", counted, log.String())
	}
	if got := r.complaints(); len(got) != 1 || got[0] != "fs/a.c:4:2: error: bad" {
		t.Errorf("complaints %q", got)
	}
}

func TestReaderBoundsItsLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := &reader{log: &log, room: 100}
	for range 1000 {
		_, _ = r.Write([]byte(strings.Repeat("x", 1000)))
	}
	if log.Len() > 200 || !strings.Contains(log.String(), "cut here") || len(r.partial) > maxPartial+1000 {
		t.Errorf("log of %d bytes, %d kept: %q", log.Len(), len(r.partial), log.String())
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestReaderNoticesThatItsLogHasNoRoom(t *testing.T) {
	t.Parallel()
	r := &reader{log: fullDisk{}, room: 100}
	if n, err := r.Write([]byte("line\n")); n != 5 || err != nil || !r.full {
		t.Errorf("Write: %d, %v, full %v", n, err, r.full)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("  CC      a.o\nfs/a.c:1:2: error: x\nmake: *** [x] Error 1\n")
	f.Add("gcc: fatal error: Killed signal terminated program cc1\n/bin/sh: 1: flex: not found\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := &reader{log: &bytes.Buffer{}, room: 1 << 20}
		if _, err := r.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		err := (&lane{plan: &plan{tree: &source.Tree{Name: "toy"}}}).diagnose(r, errors.New("exit status 2"))
		for _, line := range r.complaints() {
			if len(line) > maxMessage {
				t.Errorf("message of %d bytes", len(line))
			}
		}
		if err.Error() == "" {
			t.Error("an error without a word")
		}
	})
}
