package counter

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/vmtests/guest"
)

// MonitorCPU is the CPU time that the Go runtime's monitor has used in a process
// (sysmon in runtime/proc.go), a thread that wakes each 20 µs to 10 ms, less often
// the longer it has found nothing to do. On a guest's clock it depends on how long
// the host takes for what the guest waits for.
func MonitorCPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	return threadCPU(t, fmt.Sprintf("/proc/%d/task/%d/sched", pid, guest.Monitor(t, pid)))
}

// threadCPU reads a file that kernels with CONFIG_SCHED_DEBUG have of each thread,
// all since 6.15: proc_sched_show_task() in kernel/sched/debug.c.
func threadCPU(t testing.TB, file string) time.Duration {
	t.Helper()
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
