package suites

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// unfit are the tests that are left out, and why.
func unfit() map[string]string {
	unfit := map[string]string{
		"FcntlFlockLocksFile": "a process may take its own lock again (fcntl(2)) where the kernel keeps locks, as it does without FUSE_POSIX_LOCKS",
	}
	if testing.Short() {
		unfit["OpenSymlinkRace"] = "takes long, and reads nothing: see make conformance"
	}
	return unfit
}

func TestPosix(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
			t.Run(name, func(t *testing.T) {
				if why := unfit()[name]; why != "" {
					t.Skip(why)
				}
				own := filepath.Join(dir, name)
				if err := os.Mkdir(own, 0o755); err != nil {
					t.Fatal(err)
				}
				posixtest.All[name](t, own)
			})
		}
	})
}
