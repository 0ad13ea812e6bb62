package suites

import (
	"maps"
	"slices"
	"testing"
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
					out, err := run(t, nil, own, "stress-ng", args...)
					said = failure(out, err)
				})
				judge(t, p, name, said+stray)
			})
		}
	})
}
