package counter

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ThreadCPU is the CPU time that a thread of a process has used. Kernels with
// CONFIG_SCHED_DEBUG tell it of threads of others, all since 6.15:
// proc_sched_show_task() in kernel/sched/debug.c.
func ThreadCPU(t testing.TB, pid, tid int) time.Duration {
	t.Helper()
	file := fmt.Sprintf("/proc/%d/task/%d/sched", pid, tid)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "se.sum_exec_runtime" {
			continue
		}
		if ms, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			return time.Duration(ms * float64(time.Millisecond))
		}
	}
	t.Fatalf("%s: no se.sum_exec_runtime", file)
	return 0
}
