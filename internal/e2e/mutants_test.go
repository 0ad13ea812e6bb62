//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	profile    string // of the kernel that the test needs
}

// mutants reads the patches of vmtests/rsplice/mutations.
func mutants(t *testing.T) []mutant {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository(t), "vmtests", "rsplice", "mutations", "*.patch"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d mutations, %v", len(paths), err)
	}
	header := regexp.MustCompile(`(?m)^Subject: \[MUTATION\] (.+)\n\nCaught-by: (\S+)(?:\nProfile: (\S+))?$`)
	var all []mutant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := header.FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s: no Subject and Caught-by", path)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		all = append(all, mutant{name, path, string(m[1]), string(m[2]), cmp.Or(string(m[3]), config.Default)})
	}
	return all
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

// try runs a test on the series and what is patched on top, and returns the
// exit code and the report.
func try(t *testing.T, profile, test string, more ...string) (int, verdictOf) {
	t.Helper()
	args := []string{"test", "-json", "-kernel", "6.12", "-profile", profile, "-patches", series(t)}
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

// passUnmutated sees the tests of a profile pass on the series as it is.
func passUnmutated(t *testing.T, all []mutant, profile string) {
	t.Helper()
	var tests []string
	for _, m := range all {
		if m.profile == profile {
			top, _, _ := strings.Cut(m.test, "/")
			tests = append(tests, top)
		}
	}
	if code, v := try(t, profile, "^("+strings.Join(tests, "|")+")$"); code != 0 {
		t.Fatalf("without a mutation, profile %s: exit code %d, %s", profile, code, v.Reason)
	}
}

// TestMutants builds a kernel for each mutation of the series and sees the test
// that it names fail, or the kernel crash or hang under it. The same tests pass
// without the mutation.
func TestMutants(t *testing.T) {
	if !*withMutants {
		t.Skip("run it by make mutants")
	}
	all := mutants(t)
	sound := map[string]bool{} // profiles under which the tests pass
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			if !sound[m.profile] {
				passUnmutated(t, all, m.profile)
				sound[m.profile] = true
			}
			start := time.Now()
			code, v := try(t, m.profile, anchored(m.test), m.path)
			by := v.by(m.test)
			if code != 1 || by == "" {
				t.Errorf("%s Not caught by %s: exit code %d, %s", m.rule, m.test, code, v.Reason)
				by = "NOT CAUGHT"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%.0f s\n", m.name, m.rule, by, time.Since(start).Seconds())
		})
	}
	_ = w.Flush()
	t.Logf("%d mutants\n%s", len(all), table.String())
}
