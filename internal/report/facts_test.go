package report

import (
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
)

func TestPatchesThatWereNotCompiledAreNoted(t *testing.T) {
	t.Parallel()
	gap := verdict.Gap{File: "fs/a.c", First: 3, Last: 4, Why: "inside #ifdef CONFIG_A", Symbols: []string{"CONFIG_A is not set"}}
	r := &verdict.Report{Verdict: verdict.Pass}
	r.Run.Kernel.Applied = []verdict.Patch{{Name: "1.patch"}, {Name: "2\x07.patch", NotCompiled: []verdict.Gap{gap}}}
	var b strings.Builder
	if err := Text(&b, r, Options{}); err != nil {
		t.Fatal(err)
	}
	const want = "note: 2.patch: fs/a.c:3-4 is not compiled: inside #ifdef CONFIG_A (CONFIG_A is not set)\n"
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	for range 20 {
		r.Run.Kernel.Applied[1].NotCompiled = append(r.Run.Kernel.Applied[1].NotCompiled, gap)
	}
	if all := notCompiled(r.Run.Kernel); len(all) != maxUncompiled+1 || all[maxUncompiled] != "and 11 more that are not compiled" {
		t.Errorf("many: %d lines, the last %q", len(all), all[len(all)-1])
	}
}

func TestSeriesAreNamed(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{"-": "stdin", "a/fix.patch": "fix", "patches/linux-6.12": "linux-6.12", "t.mbox": "t.mbox"} {
		if got := seriesName(spec); got != want {
			t.Errorf("%s is named %s, want %s", spec, got, want)
		}
	}
}
