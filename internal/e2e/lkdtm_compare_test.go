package e2e

import (
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/verdict"
)

// TestCompare holds runs that went wrong, and right ones, against the rules:
// the catalogue is worth nothing if it agrees with everything.
func TestCompare(t *testing.T) {
	const entry = "kasan: KernelAddressSanitizer initialized\nlkdtm: Performing direct entry "
	crashed := func(fault console.Fault, title, guilty, test string) verdict.Report {
		return verdict.Report{Verdict: verdict.Crash, Crashes: []verdict.Complaint{{
			Crash: console.Crash{Fault: fault, Title: title, Guilty: console.Frame{Func: guilty}}, Test: test,
		}}}
	}
	const title = "KASAN: slab-use-after-free Write in lkdtm_WRITE_AFTER_FREE"
	right := crashed(console.FaultKASAN, title, "lkdtm_WRITE_AFTER_FREE", "TestProvoke/WRITE_AFTER_FREE")
	pass := verdict.Report{Verdict: verdict.Pass}
	for _, c := range []struct {
		name, kind, console string
		report              verdict.Report
		want                string // part of a problem; "" for none
	}{
		{"a crash that is named", "WRITE_AFTER_FREE", "", right, ""},
		{"another title", "WRITE_AFTER_FREE", "", crashed(console.FaultKASAN, "KASAN: slab-use-after-free Read in lkdtm_WRITE_AFTER_FREE", "lkdtm_WRITE_AFTER_FREE", "TestProvoke/WRITE_AFTER_FREE"), "the title is"},
		{"another fault", "WRITE_AFTER_FREE", "", crashed(console.FaultBug, title, "lkdtm_WRITE_AFTER_FREE", "TestProvoke/WRITE_AFTER_FREE"), "the fault is bug"},
		{"another frame", "WRITE_AFTER_FREE", "", crashed(console.FaultKASAN, title, "kfree", "TestProvoke/WRITE_AFTER_FREE"), "kfree is guilty"},
		{"another test", "WRITE_AFTER_FREE", "", crashed(console.FaultKASAN, title, "lkdtm_WRITE_AFTER_FREE", "TestTypes"), "TestTypes is charged"},
		{"a crash that nobody saw", "WRITE_AFTER_FREE", "lkdtm: Attempting bad write to freed memory\n", pass, "the console says"},
		{"a hang instead of a crash", "WRITE_AFTER_FREE", "", verdict.Report{Verdict: verdict.Hang}, "the verdict is hang"},
		{"a hang that is explained", "LOOP", "", verdict.Report{Verdict: verdict.Hang, Stuck: &console.Stuck{
			CPUs: []console.Task{{Frames: []console.Frame{{Func: "cpu_relax"}, {Func: "lkdtm_LOOP"}}}},
		}}, ""},
		{"a hang that is not explained", "LOOP", "", verdict.Report{Verdict: verdict.Hang}, "want lkdtm_LOOP"},
		{"a pass although the kernel complained", "FORTIFY_STR_OBJECT", "WARNING: CPU: 0 PID: 39 at lib/string_helpers.c:1032\n", pass, "runvm says pass"},
		{"a survivor without a reason", "FORTIFY_STR_OBJECT", "", pass, "does not say"},
		{"a survivor with its reason", "FORTIFY_STR_OBJECT", "lkdtm: built *without* CONFIG_FORTIFY_SOURCE=y\n", pass, ""},
		{"a type of a newer kernel", "TURN_TO_DUST", "", pass, "unknown type: TURN_TO_DUST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := compare(run{kind: c.kind, report: c.report, console: []byte(entry + c.kind + "\n" + c.console)})
			got := strings.Join(problems, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
}
