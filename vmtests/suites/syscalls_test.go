package suites

import (
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// syscallsCases is the least number of cases that test_syscalls has had.
const syscallsCases = 58

// syscallsLine is "  3 [symlink] OK", or what went wrong in place of OK.
var syscallsLine = regexp.MustCompile(`(?m)^ *(\d+) \[(.*)\] (.*)$`)

// TestSyscalls runs test_syscalls of libfuse, which looks at each file that it
// makes from both sides. In the second round every file has lost its name before
// it is used.
func TestSyscalls(t *testing.T) {
	need(t, "test_syscalls")
	onEach(t, func(t *testing.T, p place) {
		args := []string{p.dir, ":" + p.real}
		t.Run("named", func(t *testing.T) { syscalls(t, p, args) })
		t.Run("unlinked", func(t *testing.T) { syscalls(t, p, append(args, "-u")) })
	})
}

// syscalls makes a subtest of each case that test_syscalls tells of.
func syscalls(t *testing.T, p place, args []string) {
	out, err := run(t, nil, p.dir, "test_syscalls", args...)
	failures, names := map[string]string{}, []string{}
	for _, m := range syscallsLine.FindAllStringSubmatch(out, -1) {
		name, said := m[1]+" "+m[2], strings.TrimPrefix(m[3], "OK")
		if _, known := failures[name]; !known {
			names = append(names, name)
		}
		failures[name] += said
	}
	failed := false
	for _, name := range names {
		failed = failed || failures[name] != ""
		t.Run(name, func(t *testing.T) { judge(t, p, name, failures[name]) })
	}
	if len(names) < syscallsCases || !strings.HasPrefix(names[len(names)-1], strconv.Itoa(len(names))+" ") {
		t.Errorf("%d cases, want %d and more, without gaps\n%s", len(names), syscallsCases, out)
	}
	var exit *exec.ExitError
	if err != nil && !(failed && errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Errorf("test_syscalls: %s", failure(out, err))
	}
}
