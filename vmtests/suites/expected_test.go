package suites

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/runvm/runvm/fusesrv"
)

// An expectation is a case of a suite that fails, although the kernel and the
// server are as they should be.
type expectation struct {
	suite, name string   // of the test, of the case
	places      []string // where it fails; none is everywhere
	reason      string
	// says is a regular expression for what it fails with: another failure of the
	// case is one.
	says string
	// sometimes says that it passes at other times: it is not run.
	sometimes bool
	// skips says that it knows, and skips itself in place of failing.
	skips bool
}

// expected are all of them. One that passes is a failure too: it has no reason
// to be listed. So is a case that skips itself and is not.
func expected() []expectation {
	return append(noModules(), []expectation{
		{
			suite: "TestPosix", name: "FcntlFlockLocksFile", says: `^exit status 1\n--- FAIL: \S+ \(\S+\)\n +test.go:\d+: FcntlFlock returned <nil>, expected EAGAIN\nFAIL$`,
			reason: "wants a process to be refused a lock that it has itself, by another descriptor: by fcntl(2) it may take it again, as it may on tmpfs; go-fuse's server, which keeps locks of open files instead, refuses it",
		},
		{
			suite: "TestPosix", name: "OpenSymlinkRace", places: []string{plain}, sometimes: true,
			reason: "tells servers that follow links which were put into their directory; without a server the kernel follows them, as it should",
		},
		{
			suite: "TestPosix", name: "RenameOpenDir", places: paths(), skips: true,
			reason: "asks for the attributes of an open directory over which another was renamed; go-fuse looks files up by name and has no such directory any more (its issue 55)",
		},
		{
			suite: "TestStress", name: "readahead", places: []string{"passthrough"}, says: `^\d+ READs came to the server, which refused them$`,
			reason: "readahead(2) fills the page cache of a FUSE file by READs, also where reads pass that by: nobody ever reads what it would bring",
		},
	}...)
}

// paths are the names of all read paths.
func paths() []string {
	var names []string
	for _, p := range fusesrv.Paths() {
		names = append(names, p.Name)
	}
	return names
}

// noModules are the cases that fail on a kernel without modules, as those of the profiles are.
func noModules() []expectation {
	var all []expectation
	for name, does := range map[string]string{
		"proc_handler: proc_dostring() splice": "reads /proc/sys/kernel/modprobe",
		"test_module kernel module load":       "loads a module",
		"kernfs attr splice":                   "reads what a module has in sysfs",
		"kernfs binattr splice":                "reads what a module has in sysfs",
	} {
		all = append(all, expectation{suite: "TestSpliceSelftests", name: name, says: "^FAIL: something else went wrong$", reason: does + ", and the kernels of the profiles have no modules"})
	}
	return all
}

// judge ends a case of a suite, which failed with what failure says or, if that
// is empty, did not.
func judge(t *testing.T, p place, name, failure string) {
	t.Helper()
	e := find(t, p, name)
	switch {
	case failure == "" && e != nil:
		t.Errorf("passes, though it is listed as one that fails: %s", e.reason)
	case failure != "" && e != nil && (e.says == "" || !regexp.MustCompile(e.says).MatchString(failure)):
		t.Errorf("is expected to fail with %q, and fails with: %s", e.says, failure)
	case failure != "" && e != nil:
		t.Skipf("expected to fail: %s: %s", e.reason, failure)
	case failure != "":
		t.Error(failure)
	}
}

// find returns what is expected of a case of the suite that runs; nil is a pass.
func find(t *testing.T, p place, name string) *expectation {
	suite, _, _ := strings.Cut(t.Name(), "/")
	for _, e := range expected() {
		if e.suite == suite && e.name == name && (e.places == nil || slices.Contains(e.places, p.name)) {
			return &e
		}
	}
	return nil
}
