package suites

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// aloneEnv is the environment variable that makes the test binary one test of
// posixtest: its name, a space, and the directory.
const aloneEnv = "SUITES_POSIXTEST"

func TestPosix(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
			t.Run(name, func(t *testing.T) {
				if testing.Short() && name == "OpenSymlinkRace" {
					t.Skip("takes long, and reads nothing: see make suites")
				}
				e := find(t, p, name)
				if e != nil && e.sometimes {
					t.Skipf("expected to fail, at times: %s", e.reason)
				}
				own := mkdir(t, p.dir, name)
				if e == nil || e.skips {
					defer mustSkip(t, e != nil)
					posixtest.All[name](t, own)
					return
				}
				out, err := run(t, []string{aloneEnv + "=" + name + " " + own}, own, "/proc/self/exe")
				judge(t, p, name, failure(out, err))
			})
		}
	})
}

// mustSkip fails a test that has skipped itself and was not to, or the reverse.
func mustSkip(t *testing.T, want bool) {
	t.Helper()
	if got := t.Skipped(); got != want {
		t.Errorf("skipped itself: %t, listed as one that does: %t", got, want)
	}
}

// posixAlone runs the test that aloneEnv names, and ends the process with its
// result; it returns false where it names none. A test that is expected to fail
// must not be one of this process: whoever fails takes the test above along.
func posixAlone() bool {
	name, dir, ok := strings.Cut(os.Getenv(aloneEnv), " ")
	if ok {
		one := []testing.InternalTest{{Name: name, F: func(t *testing.T) { posixtest.All[name](t, dir) }}}
		testing.Main(func(string, string) (bool, error) { return true, nil }, one, nil, nil)
	}
	return ok
}
