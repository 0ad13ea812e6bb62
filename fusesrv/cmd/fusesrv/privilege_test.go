package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/runvm/runvm/fusesrv"
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
	for _, name := range []string{"rsplice-pipe", "rsplice-direct"} {
		t.Run(name, func(t *testing.T) {
			readtest.Need(t, path(t, name))
			src := t.TempDir()
			want := strings.Repeat("read me ", 1000)
			if err := os.WriteFile(filepath.Join(src, "f"), []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startProgramAs(t, alone(), src, "-path", name)
			got, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", p.mnt, "f"))
			if err != nil || string(got) != want {
				t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
			}
			p.signal(syscall.SIGUSR1)
			line, err := p.out.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			var s fusesrv.Stats
			if err := json.Unmarshal(line, &s); err != nil || s.Filled != uint64(len(want)) || s.Copied != 0 {
				t.Errorf("statistics %s, %v; want %d bytes filled and none copied", line, err, len(want))
			}
			p.signal(syscall.SIGTERM)
			p.endsWell()
		})
	}
}
