package law

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/runvm/runvm/"

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Name       string
	Doc        string
	Imports    []string
	GoFiles    []string
}

// packages lists the module's own packages.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,GoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages: the law would be checked against nothing", len(all))
	}
	return all
}

// below says whether path is one of the folders or lies in one.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return path == f || strings.HasPrefix(path, f+"/")
	})
}

// A rule forbids packages in From to import packages of this module in Not,
// but for those in But.
type rule struct {
	from, not, but []string
	why            string
}

var stages = []string{"kernel", "initramfs", "internal/vm", "internal/console"}

func rules() []rule {
	leaves := []string{"internal/ktap", "internal/progress", "internal/sh", "internal/wire"}
	all := []string{"cmd", "fusesrv", "initramfs", "internal", "kernel", "patches", "repros", "vmtests"}
	guest := []string{"fusesrv", "repros", "vmtests"}
	rs := []rule{
		{[]string{"initramfs/init"}, all, []string{"internal/wire"}, "PID 1 is built from its own sources and the protocol's, anywhere"},
		{guest, all, guest, "guest code must not drag host code into the guest"},
		{leaves, all, nil, "what every stage leans on leans on nothing"},
		{[]string{"internal/verdict"}, all, []string{"internal/console", "internal/gotest", "internal/ktap", "internal/sh", "internal/wire"}, "the verdict is a function of recorded bytes; of sh it takes Quote"},
		{[]string{"internal/console"}, all, nil, "the crash reader is a function of a log"},
		{[]string{"internal/symbol"}, all, nil, "the decoder is a function of a file"},
		{all, []string{"cmd"}, []string{"cmd"}, "programs are not libraries"},
		{[]string{"initramfs", "internal/vm", "kernel", "internal/console", "internal/verdict", "internal/report", "internal/gotest", "internal/distro"},
			[]string{"internal/run"}, nil, "stages do not know who conducts them"},
	}
	for _, s := range stages {
		others := slices.DeleteFunc(slices.Clone(stages), func(o string) bool { return o == s })
		rs = append(rs, rule{[]string{s}, others, nil, "only internal/run joins stages"})
	}
	return rs
}

func TestImportsKeepTheLaw(t *testing.T) {
	broken := 0
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			for _, r := range rules() {
				if below(from, r.from...) && below(to, r.not...) && !below(to, r.but...) && !below(to, from) {
					t.Errorf("%s imports %s: %s", from, to, r.why)
					broken++
				}
			}
		}
	}
}

// TestOneConductor says it the other way round: whoever imports two stages is
// internal/run (or a program, which hands values of theirs to it).
func TestOneConductor(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		var joined []string
		for _, s := range stages {
			if slices.ContainsFunc(p.Imports, func(i string) bool { return below(strings.TrimPrefix(i, module), s) }) && !below(from, s) {
				joined = append(joined, s)
			}
		}
		if len(joined) > 1 && !below(from, "internal/run", "cmd") {
			t.Errorf("%s joins %s: only internal/run may", from, strings.Join(joined, " and "))
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no doc comment", strings.TrimPrefix(p.ImportPath, module))
		}
	}
}
