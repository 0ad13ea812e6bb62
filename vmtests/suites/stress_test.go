package suites

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"
)

// stressors are those of stress-ng that use files, by name, bounded by operations.
func stressors() map[string][]string {
	return map[string][]string{
		"sendfile":    {"--sendfile=2", "--sendfile-ops=2000", "--sendfile-size=1m"},
		"readahead":   {"--readahead=2", "--readahead-ops=20000", "--readahead-bytes=16m"},
		"mmap":        {"--mmap=1", "--mmap-ops=5", "--mmap-bytes=1m", "--mmap-file"},
		"mmap-osync":  {"--mmap=1", "--mmap-ops=2", "--mmap-bytes=1m", "--mmap-file", "--mmap-osync"},
		"mmap-direct": {"--mmap=1", "--mmap-ops=2", "--mmap-bytes=1m", "--mmap-file", "--mmap-odirect"},
	}
}

// TestStress runs stress-ng's stressors of files, which verify what they read;
// that of splice(2) uses pipes and devices alone.
func TestStress(t *testing.T) {
	need(t, "stress-ng")
	onEach(t, func(t *testing.T, p place) {
		all := stressors()
		if p.name == plain {
			all["splice"] = []string{"--splice=2", "--splice-ops=20000"}
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			t.Run(name, func(t *testing.T) {
				own := mkdir(t, p.dir, name)
				defer remove(t, own)
				args := append(all[name], "--temp-path", own, "--verify", "--seed", "20190626", "--oomable", "--metrics-brief")
				said := ""
				stray := p.strayReads(func() {
					p.reads(t, 1, func() {
						evicting(t, func() {
							out, err := run(t, nil, own, "stress-ng", args...)
							said = failure(out, err)
						})
					})
				})
				judge(t, p, name, said+stray)
			})
		}
	})
}

// evictPause is how long caches may keep what is clean.
const evictPause = 20 * time.Millisecond

// evicting empties the kernel's caches of what is clean, again and again while do
// runs: stressors read what they have just written, which is in the cache.
func evicting(t *testing.T, do func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(evictPause):
			}
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
				t.Errorf("empty the caches: %v", err)
				return
			}
		}
	}()
	do()
	close(stop)
	<-stopped
}
