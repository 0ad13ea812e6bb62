package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/console"
)

func TestTextPointsAtThePatch(t *testing.T) {
	t.Parallel()
	mine := console.Frame{Func: "fuse_dev_do_read", Source: "fs/fuse/dev.c:1234", Patch: "0005-fuse.patch"}
	for name, c := range map[string]struct {
		guilty console.Frame
		want   string
	}{
		"guilty": {console.Frame{Func: "fuse_copy_page", Source: "fs/fuse/dev.c:902", Patch: "0004-fuse.patch"}, "in fuse_copy_page (fs/fuse/dev.c:902) <- 0004-fuse.patch\n"},
		"caller": {console.Frame{Func: "fuse_copy_page", Source: "fs/fuse/dev.c:902"}, "\n  patched  fuse_dev_do_read (fs/fuse/dev.c:1234) <- 0005-fuse.patch\n"},
	} {
		r := crashed()
		r.Crashes[0].Guilty, r.Crashes[0].Frames = c.guilty, []console.Frame{c.guilty, mine}
		var got bytes.Buffer
		if err := Text(&got, r, Options{Now: now}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), c.want) || strings.Count(got.String(), "<-") != 1 {
			t.Errorf("%s: no %q in\n%s", name, c.want, got.String())
		}
	}
}
