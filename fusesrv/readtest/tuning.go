package readtest

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// tuningCases are about how large READs are.
func tuningCases() []Case {
	return about([]string{files}, true, map[string]func(t *testing.T, c config){
		"ReadaheadOfAnySizeIsExact": readaheadOfAnySizeIsExact,
		"ReadsOfAnySizeAreExact":    readsOfAnySizeAreExact,
	})
}

// Readahead sets how many KiB the kernel reads ahead in the file system of
// number dev.
func Readahead(t testing.TB, dev uint64, kib int) {
	t.Helper()
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(dev), unix.Minor(dev))
	if err := os.WriteFile(name, []byte(strconv.Itoa(kib)), 0); err != nil {
		t.Fatalf("set readahead: %v", err)
	}
}

func readaheadOfAnySizeIsExact(t *testing.T, c config) {
	f := makeFile("f", 120, 2*mib+5000)
	m := start(t, c, f)
	for _, kib := range []int{0, 4, 16, 128, 1024, 4096} {
		Readahead(t, m.dev, kib)
		h := m.open(f.Name) // an open file keeps what was set before
		before := m.stats()
		same(t, f.Of, readAll(t, h, 10000), 0)
		after := m.stats()
		if got := after.ReadBytes - before.ReadBytes; got != uint64(f.Size) {
			t.Errorf("readahead of %d KiB: the server delivered %d bytes, want %d", kib, got, f.Size)
		}
		reads := int(after.Reads - before.Reads)
		if kib == 0 && reads != pages(f.Size) {
			t.Errorf("without readahead %d READs for %d pages", reads, pages(f.Size))
		}
		if kib == 1024 && reads > 8 {
			t.Errorf("readahead of 1 MiB: %d READs for 2 MiB", reads)
		}
	}
}

// readsOfAnySizeAreExact limits READs to numbers of pages from 1 to 256.
func readsOfAnySizeAreExact(t *testing.T, c config) {
	page := guest.PageSize()
	for _, limit := range []int{1, 2, 33, 255, 256} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			c.Loopback, c.MaxRead = t.TempDir(), limit*page
			f := makeFile("f", 121, int64(2*max(c.MaxRead, 128<<10)+5000))
			m := start(t, c, f)
			Readahead(t, m.dev, 2048)
			h := m.open(f.Name)
			same(t, f.Of, readAll(t, h, mib), 0)
			m.delivered(0, f.Size)
			if got := m.order(order{}).Largest; got != c.MaxRead {
				t.Errorf("the largest READ is of %d bytes, want %d", got, c.MaxRead)
			}
		})
	}
}
