//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/runvm/runvm/kernel/config"
)

var withMutants = flag.Bool("mutants", false, "build each mutated kernel and see it caught: minutes")

// A mutant is a kernel with one rule of rsplice(2) taken away.
type mutant struct {
	name, path string
	rule       string // what is wrong with it
	test       string // that must catch it
	on         setting
}

// A setting is the kernel that a mutation applies to, and that its test needs.
type setting struct {
	kernel  string // and with it the series: patches/linux-<kernel>
	profile string
	also    string // a folder of patches on top of the series, or ""
	more    string // on the kernel's command line, or ""
}

// mutants reads the patches of vmtests/rsplice/mutations.
func mutants(t *testing.T) []mutant {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository(t), "vmtests", "rsplice", "mutations", "*.patch"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d mutations, %v", len(paths), err)
	}
	var all []mutant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMutant(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		m.name, m.path = strings.TrimSuffix(filepath.Base(path), ".patch"), path
		all = append(all, m)
	}
	return all
}

// parseMutant reads the head of a mutation: its subject, and "Name: value" lines.
func parseMutant(text string) (mutant, error) {
	head, _, _ := strings.Cut(text, "\n---\n")
	mail, lines, _ := strings.Cut(head, "\n\n")
	_, rule, _ := strings.Cut(mail, "Subject: [MUTATION] ")
	m := mutant{rule: rule, on: setting{kernel: "6.12", profile: config.Default}}
	fields := map[string]*string{
		"Caught-by": &m.test, "Kernel": &m.on.kernel, "Profile": &m.on.profile,
		"Patches": &m.on.also, "Append": &m.on.more,
	}
	for _, line := range strings.Split(lines, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		field := fields[name]
		if field == nil || value == "" {
			return m, fmt.Errorf("%q: not a line of the head", line)
		}
		*field = value
	}
	if m.rule == "" || m.test == "" {
		return m, errors.New("no Subject or no Caught-by")
	}
	return m, nil
}

// anchored makes the name of a test, or of a subtest, a pattern for it alone.
func anchored(test string) string {
	return "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
}

// verdictOf is the part of a report that decides whether a mutant is caught.
type verdictOf struct {
	Verdict  string
	Reason   string
	Programs []struct {
		Tests []struct{ Name, Verdict string }
	}
}

// by says what caught the mutant, or nothing.
func (v verdictOf) by(test string) string {
	for _, p := range v.Programs {
		for _, r := range p.Tests {
			named := r.Name == test || strings.HasPrefix(r.Name, test+"/")
			if named && r.Verdict != "pass" && r.Verdict != "skipped" {
				return r.Verdict + " of " + r.Name
			}
		}
	}
	if v.Verdict == "crash" || v.Verdict == "hang" {
		return v.Verdict + ": " + v.Reason
	}
	return ""
}

// args are those of runvm that make the setting.
func (on setting) args(t *testing.T) []string {
	patches := filepath.Join(repository(t), "patches")
	args := []string{"-kernel", on.kernel, "-profile", on.profile, "-patches", filepath.Join(patches, "linux-"+on.kernel)}
	if on.also != "" {
		args = append(args, "-patches", filepath.Join(repository(t), on.also))
	}
	if on.more != "" {
		args = append(args, "-append", on.more)
	}
	return args
}

// try runs a test on a setting and what is patched on top, and returns the exit
// code and the report.
func try(t *testing.T, on setting, test string, more ...string) (int, verdictOf) {
	t.Helper()
	args := append([]string{"test", "-json"}, on.args(t)...)
	for _, path := range more {
		args = append(args, "-patches", path)
	}
	args = append(args, "-silence", "1m", "-timeout", "5m", "-run", test, "./vmtests/rsplice")
	cmd := exec.Command(filepath.Join(repository(t), "runvm"), args...)
	cmd.Dir = repository(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var v verdictOf
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatalf("runvm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return cmd.ProcessState.ExitCode(), v
}

// passUnmutated sees the tests of a setting pass on its series as it is.
func passUnmutated(t *testing.T, all []mutant, on setting) {
	t.Helper()
	var tests []string
	for _, m := range all {
		if m.on == on {
			top, _, _ := strings.Cut(m.test, "/")
			tests = append(tests, top)
		}
	}
	if code, v := try(t, on, "^("+strings.Join(tests, "|")+")$"); code != 0 {
		t.Fatalf("without a mutation, %+v: exit code %d, %s", on, code, v.Reason)
	}
}

// TestMutants builds a kernel for each mutation of a series and sees the test
// that it names fail, or the kernel crash or hang under it. The same tests pass
// without the mutation.
func TestMutants(t *testing.T) {
	all := mutants(t)
	if !*withMutants {
		t.Skip("run it by make mutants")
	}
	sound := map[setting]bool{} // those with which the tests pass
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			if !sound[m.on] {
				passUnmutated(t, all, m.on)
				sound[m.on] = true
			}
			start := time.Now()
			code, v := try(t, m.on, anchored(m.test), m.path)
			by := v.by(m.test)
			if code != 1 || by == "" {
				t.Errorf("%s Not caught by %s: exit code %d, %s", m.rule, m.test, code, v.Reason)
				by = "NOT CAUGHT"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.0f s\n", m.name, m.on.kernel, m.rule, by, time.Since(start).Seconds())
		})
	}
	_ = w.Flush()
	t.Logf("%d mutants\n%s", len(all), table.String())
}
