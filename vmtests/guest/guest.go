// Package guest is what guest tests lean on: where they may run, what the
// kernel under test must have, and tools to look into its page cache.
package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// planPath is in the root file system of every machine that runvm boots
// (internal/wire names it too) and of no other.
const planPath = "/runvm/plan.json"

// Need skips a test outside a machine that runvm booted: guest tests mount,
// drop caches and stop processes as root, and judge a kernel that somebody
// chose to test.
func Need(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(planPath); err != nil {
		t.Skip("guest test: run it with runvm test")
	}
}

// A Release is the number of a kernel: 6.12 is {6, 12}.
type Release struct{ Major, Minor int }

// String returns "6.12".
func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

// Before tells whether r is older than other.
func (r Release) Before(other Release) bool {
	return r.Major < other.Major || r.Major == other.Major && r.Minor < other.Minor
}

// ParseRelease reads the start of what uname(2) calls the release:
// "6.12.117-runvm" is {6, 12}.
func ParseRelease(s string) (Release, error) {
	var r Release
	if _, err := fmt.Sscanf(s, "%d.%d", &r.Major, &r.Minor); err != nil || r.Major < 0 || r.Minor < 0 {
		return Release{}, fmt.Errorf("kernel release %q: not number.number", s)
	}
	return r, nil
}

// Running returns the number of the kernel that runs.
func Running() (Release, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Release{}, fmt.Errorf("uname: %w", err)
	}
	return ParseRelease(unix.ByteSliceToString(u.Release[:]))
}

// Since skips a test on kernels older than the release in which feature
// appeared. On others the test runs, and fails if the feature is missing.
func Since(t testing.TB, first Release, feature string) {
	t.Helper()
	r, err := Running()
	if err != nil {
		t.Fatal(err)
	}
	if r.Before(first) {
		t.Skipf("%s is in Linux since %v, this is %v", feature, first, r)
	}
}

// Sysctl writes value to a file below /proc/sys, named with slashes or dots.
func Sysctl(t testing.TB, name, value string) {
	t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatalf("sysctl %s: %v", name, err)
	}
}

// Modules are the files of those modules of the kernel that were loaded before the
// first test, in that order.
func Modules(t testing.TB) []string {
	t.Helper()
	var plan struct{ Modules []string }
	b, err := os.ReadFile(planPath)
	if err == nil {
		err = json.Unmarshal(b, &plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan.Modules
}

// Lacks ends a test that needs what the kernel has not: it is skipped, or fails if
// NAME=1 on the kernel's command line says that the kernel was built to have it.
func Lacks(t testing.TB, name, what string) {
	t.Helper()
	if Parameter(t, name, "") != "" {
		t.Fatalf("kernel has no %s, which %s says it has", what, name)
	}
	t.Skipf("kernel has no %s", what)
}

// Seed is what a test that takes decisions at random begins with: the number that
// NAME=number on the kernel's command line says, else one of its own. The log says
// which, so that the same decisions can be taken again.
func Seed(t testing.TB, name string) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(Parameter(t, name, strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	Remark("seed %d: -append %s=%d takes the same decisions", seed, name, seed)
	return seed
}

// Remark writes what is to be seen of a test that passes, too, and is no reason to
// fail: what t.Log writes is not seen of the first, and the reason of the second.
func Remark(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Parameter is the value of NAME=value on the kernel's command line, or value if it
// is not there. That is how a test is told something: runvm test -append NAME=value.
func Parameter(t testing.TB, name, value string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(arg, name+"="); ok {
			value = v
		}
	}
	return value
}
