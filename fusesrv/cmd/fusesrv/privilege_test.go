package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

// Passthrough is for those that the whole machine trusts; others learn it when they
// mount, not when their files are read.
func TestPassthroughNeedsPrivilege(t *testing.T) {
	guest.Need(t)
	readtest.Need(t, path(t, "passthrough"))
	const want = "read path passthrough: register a backing file: operation not permitted"
	if said := refused(t, alone(), "-path", "passthrough"); !strings.Contains(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}

// rsplice(2) is for everyone who may mount: the bytes of a file are filled for its
// reader by a server that has no privilege outside of its user namespace.
func TestRspliceNeedsNoPrivilege(t *testing.T) {
	guest.Need(t)
	for _, name := range []string{"rsplice-pipe", "rsplice-fill", "rsplice-direct"} {
		t.Run(name, func(t *testing.T) {
			readtest.Need(t, path(t, name))
			src, want := readable(t)
			p := startProgramAs(t, alone(), src, "-path", name)
			got, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", p.mnt, "f"))
			if err != nil || string(got) != want {
				t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
			}
			line, stats := p.statistics(t)
			if stats.Filled != uint64(len(want)) || stats.Copied != 0 {
				t.Errorf("statistics %s; want %d bytes filled and none copied", line, len(want))
			}
			p.signal(syscall.SIGTERM)
			p.endsWell()
		})
	}
}
