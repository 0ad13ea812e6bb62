package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel/patch"
)

// stand is where internal/symbol keeps a program that stands for a vmlinux.
const stand = "../symbol/testdata/"

// splat is a warning in the functions of the program and of a module.
const splat = `[    1.000000] ------------[ cut here ]------------
[    1.000001] WARNING: CPU: 0 PID: 43 at one.c:99 outer+0x5/0x30
[    1.000002] CPU: 0 UID: 0 PID: 43 Comm: a.test Not tainted 6.12.117 #1
[    1.000003] RIP: 0010:outer+0x5/0x30
[    1.000004] Call Trace:
[    1.000005]  <TASK>
[    1.000006]  outer+0xf/0x30
[    1.000007]  same+0x1/0x10
[    1.000008]  elsewhere+0x1/0x10
[    1.000009]  outer+0x30/0x30 [my_mod]
[    1.000010]  other+0x5/0x30 [absent]
[    1.000011]  0x000000000040108f
[    1.000012]  </TASK>
[    1.000013] ---[ end trace 0000000000000000 ]---
`

// decodable is the directory of a run that booted the program, and what
// decodes its stacks.
func decodable(t *testing.T) (string, symbols) {
	t.Helper()
	images := t.TempDir()
	for from, to := range map[string]string{"program.elf": "vmlinux", "module.ko": "my-mod.ko"} {
		data, err := os.ReadFile(stand + from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(images, to), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := symbols{Vmlinux: filepath.Join(images, "vmlinux"), Index: filepath.Join(images, indexFile)}
	info, err := os.Stat(s.Vmlinux)
	if err != nil {
		t.Fatal(err)
	}
	s.Bytes, s.Modified = info.Size(), info.ModTime()
	s.Touched = patch.Touched{"one.c": {{First: 31, Last: 31, Patch: "0002-b.patch"}, {First: 36, Last: 40, Patch: "0001-a.patch"}}}
	dir := recordRun(t, session(), splat)
	rec, err := readRecorded(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Direct = true
	rec.Symbols = s
	if err := writeJSON(filepath.Join(dir, recordedFile), rec); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// shownFrames are the frames of report's first crash, one a line.
func shownFrames(t *testing.T, report *verdict.Report) []string {
	t.Helper()
	if len(report.Crashes) != 1 {
		t.Fatalf("%d crashes", len(report.Crashes))
	}
	var all []string
	for _, f := range report.Crashes[0].Frames {
		line := strings.Join([]string{f.Func + f.Address, f.Source, f.Patch, f.Doubt}, " ")
		if f.Inlined {
			line = "in " + line
		}
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

func TestStacksAreDecoded(t *testing.T) {
	dir, s := decodable(t)
	report, err := Rejudge(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		// the instruction pointer: the place itself
		"in deeper one.c:31 0002-b.patch", "outer one.c:38 0001-a.patch",
		// return addresses: the calls
		"in deepest one.c:26", "in deeper one.c:31 0002-b.patch", "outer one.c:38 0001-a.patch",
		"same   2 functions have this name and size",
		"elsewhere",
		"outer one.c:40 0001-a.patch", // in the module
		"other",
		"outer000000000040108f one.c:40 0001-a.patch",
	}
	if d := cmp.Diff(want, shownFrames(t, report)); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
	if g := report.Crashes[0].Guilty; g.Func != "outer" || g.Source != "one.c:38" || g.Patch != "0001-a.patch" || g.Inlined {
		t.Errorf("guilty frame %+v", g)
	}
	if len(report.Notes) != 0 {
		t.Errorf("notes %q", report.Notes)
	}
	if _, err := os.Stat(s.Index); err != nil {
		t.Error(err)
	}
	first, _ := os.ReadFile(filepath.Join(dir, reportFile))
	if _, err := Rejudge(dir); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(filepath.Join(dir, reportFile)); string(first) != string(again) {
		t.Errorf("judged again, the report differs:\n%s", cmp.Diff(string(first), string(again)))
	}
}

func TestStacksOfAnotherKernelAreLeft(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone": os.Remove,
		"rebuilt": func(path string) error {
			return os.WriteFile(path, []byte("another"), 0o644)
		},
		"rebuilt, as long": func(path string) error {
			return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
		},
	} {
		dir, s := decodable(t)
		if err := spoil(s.Vmlinux); err != nil {
			t.Fatal(err)
		}
		report, err := Rejudge(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "stacks are not decoded") {
			t.Errorf("%s: notes %q", name, report.Notes)
		}
		// but for the line that the kernel's message has itself
		if got := shownFrames(t, report); got[0] != "outer one.c:99" || strings.Contains(strings.Join(got[1:], "\n"), "one.c") || len(got) != 7 {
			t.Errorf("%s: frames %q", name, got)
		}
	}
}

func TestDamagedKernelIsANote(t *testing.T) {
	dir, s := decodable(t)
	if err := os.WriteFile(s.Vmlinux, make([]byte, s.Bytes), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.Vmlinux, s.Modified, s.Modified); err != nil {
		t.Fatal(err)
	}
	report, err := Rejudge(dir)
	if err != nil || report.Verdict != verdict.Crash {
		t.Fatalf("%v, %v", report.Verdict, err)
	}
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "damaged") {
		t.Errorf("notes %q", report.Notes)
	}
}

func TestAddressesOfAMovedKernelAreLeft(t *testing.T) {
	for _, c := range []struct {
		direct bool
		append string
		want   bool
	}{{false, "console=ttyS0 panic=-1", false}, {false, "console=ttyS0 nokaslr", true}, {true, "console=ttyS0", true}} {
		dir, _ := decodable(t)
		rec, err := readRecorded(dir)
		if err != nil {
			t.Fatal(err)
		}
		rec.Run.Machine.Command = []string{"qemu", "-append", c.append}
		rec.Symbols.Direct = c.direct
		if err := writeJSON(filepath.Join(dir, recordedFile), rec); err != nil {
			t.Fatal(err)
		}
		report, err := Rejudge(dir)
		if err != nil {
			t.Fatal(err)
		}
		all := shownFrames(t, report)
		if got := strings.Contains(all[len(all)-1], "one.c:40"); got != c.want {
			t.Errorf("direct %v, %q: the last frame is %q", c.direct, c.append, all[len(all)-1])
		}
	}
}

// TestModulesAreFound looks for a module in each place where one may lie.
func TestModulesAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"modules.order": "drivers/a/one-way.o\nfs/two.ko\n../../etc/three.o\n", "four.ko": "", "two.ko": "",
	})
	s := symbols{Vmlinux: filepath.Join(dir, "vmlinux"), Modules: []string{"/tests/testdata/one-way.ko", "/tests/testdata/five.ko"}}
	for name, want := range map[string]string{
		"one_way": "/tests/testdata/one-way.ko", "five": "/tests/testdata/five.ko", "two": dir + "/two.ko", "four": dir + "/four.ko", "three": "", "absent": "",
	} {
		if got := s.module(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s.Modules = nil
	if got := s.module("one_way"); got != dir+"/drivers/a/one-way.ko" {
		t.Errorf("in the build's folders: %q", got)
	}
}
