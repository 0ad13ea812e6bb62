package repro

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

// whole is a description without a mistake.
const whole = `
title   = "it breaks"
fix     = "123456789abc"
verdict = "crash"
symptom = "^WARNING in f$"
profile = "debug,bug.config"
append  = ["a=1"]
cpus    = 2
memory  = 512

[buggy]
kernel  = "6.12"
patches = ["bug.patch", "../../patches/series"]

[fixed]
kernel = "6.13"
`

// module makes a module with one repro, "bug".
func module(t *testing.T, description string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module m\n", "patches/series/0001-x.patch": "", "repros/bug/bug.patch": "", "repros/bug/bug.config": "", "repros/bug/repro.toml": description,
		"repros/code/code.go": "package code\n", "deep/er/x": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDescriptionIsRead(t *testing.T) {
	t.Parallel()
	root := module(t, whole)
	r, err := Load(root, "bug")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(root, "repros/bug/bug.patch"), filepath.Join(root, "patches/series")}
	if r.Title != "it breaks" || r.Verdict != verdict.Crash || !r.Symptom.MatchString("WARNING in f") || r.Symptom.MatchString("WARNING in fg") ||
		r.Profile != "debug,"+filepath.Join(root, "repros/bug/bug.config") || r.CPUs != 2 || r.MemoryMiB != 512 || r.Append[0] != "a=1" ||
		r.Buggy.Source != "6.12" || strings.Join(r.Buggy.Patches, " ") != strings.Join(want, " ") ||
		r.Fixed.Source != "6.13" || r.Fixed.Patches != nil || r.Target() != "./repros/bug" {
		t.Errorf("%+v", r)
	}
}

func TestBadDescriptionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, want string }{
		"no TOML":       {"title ", "title title", "toml:"},
		"unknown key":   {"profile", "profil", "unknown key profil"},
		"title":         {`"it breaks"`, `"it\nbreaks"`, "title: want one line"},
		"verdict":       {`"crash"`, `"pass"`, `verdict "pass": want fail, crash or hang`},
		"no symptom":    {`"^WARNING in f$"`, `""`, "symptom: want a regular expression"},
		"bad symptom":   {`"^WARNING in f$"`, `"("`, "symptom: error parsing regexp"},
		"no kernel":     {`kernel = "6.13"`, ``, "fixed: kernel: want a source"},
		"missing patch": {"bug.patch", "bag.patch", "buggy: patches: bag.patch: no such file or folder"},
		"way out":       {"../../patches/series", "../../../x", "buggy: patches: ../../../x is not in the module"},
		"no config":     {`"debug,bug.config"`, `"debug,x.config"`, "profile: x.config: no such file or folder"},
		"config away":   {`"debug,bug.config"`, `"../../../x.config"`, "profile: ../../../x.config is not in the module"},
		"absolute":      {"bug.patch", "/etc/passwd", "buggy: patches: /etc/passwd is not in the module"},
		"too large":     {"\n[buggy]", "#" + strings.Repeat("x", maxFile) + "\n[buggy]", "larger than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(whole, c.old, c.new, 1)
			if text == whole {
				t.Fatal("nothing is changed")
			}
			_, err := Load(module(t, text), "bug")
			if !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "repro.toml") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestNamesAndRootsAreFound(t *testing.T) {
	t.Parallel()
	root := module(t, whole)
	if got, err := Root(filepath.Join(root, "deep", "er")); err != nil || got != root {
		t.Errorf("root: %s, %v", got, err)
	}
	if _, err := Root(t.TempDir()); !errors.Is(err, ErrBad) {
		t.Errorf("root of nothing: %v", err)
	}
	for _, name := range []string{"", "bag", "code", "../repros/bug", "*"} {
		if _, err := Load(root, name); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), "want bug") {
			t.Errorf("load %q: %v", name, err)
		}
	}
}

// TestOwnDescriptionsAreWhole reads all of this repository.
func TestOwnDescriptionsAreWhole(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	names, err := Names(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := Load(root, name); err != nil {
			t.Error(err)
		}
		for _, file := range []string{"README.md", "repro_test.go"} {
			if !isFile(filepath.Join(root, folder, name, file)) {
				t.Errorf("%s has no %s", name, file)
			}
		}
	}
}

// crashed is a report of a crash with these titles.
func crashed(titles ...string) *verdict.Report {
	r := &verdict.Report{Verdict: verdict.Crash, Booted: true, Reason: titles[0]}
	for _, title := range titles {
		r.Crashes = append(r.Crashes, verdict.Complaint{Crash: console.Crash{Title: title}})
	}
	return r
}

func TestRunsAreCounted(t *testing.T) {
	t.Parallel()
	r, err := Load(module(t, whole), "bug")
	if err != nil {
		t.Fatal(err)
	}
	pass := &verdict.Report{Verdict: verdict.Pass, Booted: true}
	fail := &verdict.Report{Verdict: verdict.Fail, Booted: true, Reason: "no"}
	dead := &verdict.Report{Verdict: verdict.Crash, Reason: "WARNING in f"}
	for name, c := range map[string]struct {
		buggy, fixed []*verdict.Report
		code         int
	}{
		"shown":              {[]*verdict.Report{crashed("WARNING in f"), crashed("WARNING in f", "BUG")}, []*verdict.Report{pass, pass}, 0},
		"another crash":      {[]*verdict.Report{crashed("BUG", "WARNING in f")}, []*verdict.Report{pass}, 1},
		"flaky":              {[]*verdict.Report{crashed("WARNING in f"), pass}, []*verdict.Report{pass, pass}, 1},
		"another verdict":    {[]*verdict.Report{fail}, []*verdict.Report{pass}, 1},
		"fixed fails":        {[]*verdict.Report{crashed("WARNING in f")}, []*verdict.Report{fail}, 1},
		"fixed crashes":      {[]*verdict.Report{crashed("WARNING in f")}, []*verdict.Report{crashed("WARNING in f")}, 1},
		"fixed is skipped":   {[]*verdict.Report{crashed("WARNING in f")}, []*verdict.Report{{Verdict: verdict.Skipped, Booted: true}}, 125},
		"buggy has not boot": {[]*verdict.Report{dead}, []*verdict.Report{pass}, 125},
		"no runs":            {nil, nil, 125},
	} {
		result := NewResult(r)
		for _, b := range c.buggy {
			r.Add(&result.Buggy, b)
		}
		for _, f := range c.fixed {
			r.Add(&result.Fixed, f)
		}
		if got := result.ExitCode(); got != c.code || result.Shown() != (c.code == 0) {
			t.Errorf("%s: exit code %d, shown %t: %+v", name, got, result.Shown(), result)
		}
	}
}

func TestFailuresAreMatchedByWhatTheySay(t *testing.T) {
	t.Parallel()
	r, err := Load(module(t, strings.NewReplacer(`"crash"`, `"fail"`, "^WARNING in f$", "want 0$").Replace(whole)), "bug")
	if err != nil {
		t.Fatal(err)
	}
	for reason, want := range map[string]int{"x_test.go:3: byte 1 is 0x73, want 0": 1, "x_test.go:9: mount: no": 0} {
		result := NewResult(r)
		r.Add(&result.Buggy, &verdict.Report{Verdict: verdict.Fail, Booted: true, Programs: []verdict.Program{{
			Tests: []verdict.Test{{Name: "TestX", Verdict: verdict.Fail, Reason: reason}},
		}}})
		if result.Buggy.Right != want {
			t.Errorf("%s: %+v", reason, result.Buggy)
		}
	}
}

func TestResultsAreShown(t *testing.T) {
	t.Parallel()
	good := &Result{Name: "one", Title: "it breaks", Fix: "1234",
		Buggy: Side{Kernel: "6.12.1", Want: verdict.Crash, Runs: 20, Right: 20, Said: "WARNING in f\x1b"},
		Fixed: Side{Kernel: "6.12.1", Want: verdict.Pass, Runs: 20, Right: 20}}
	bad := &Result{Name: "another", Title: "it too",
		Buggy: Side{Kernel: "6.12.1", Want: verdict.Fail, Runs: 20, Right: 19, Odd: "pass", Dir: "/runs/buggy-3"},
		Fixed: Side{Kernel: "6.12.1", Want: verdict.Pass, Runs: 20, Right: 20}}
	var b bytes.Buffer
	for _, r := range []*Result{good, bad} {
		if err := Text(&b, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := Table(&b, []*Result{good, bad, {Name: "third", Err: "no\nroom", Buggy: Side{Want: verdict.Fail}, Fixed: Side{Want: verdict.Pass}}}); err != nil {
		t.Fatal(err)
	}
	want := `SHOWN  one  it breaks
  buggy  6.12.1  20 of 20 crash  WARNING in f 
  fixed  6.12.1  20 of 20 pass   
fix      1234
NOT SHOWN  another  it too
  buggy  6.12.1  19 of 20 fail  
                 but            pass
                 run            /runs/buggy-3
  fixed  6.12.1  20 of 20 pass  
REPRO    BUGGY                   FIXED                  
one      6.12.1  20 of 20 crash  6.12.1  20 of 20 pass  shown
another  6.12.1  19 of 20 fail   6.12.1  20 of 20 pass  not shown
third            0 of 0 fail             0 of 0 pass    no verdict
another: pass
third: no room
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
