package counter

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// TestMonitor looks at what the thread does that is taken for the monitor: while the
// program computes no other sleeps by nanosleep(2), and none but it uses so little.
func TestMonitor(t *testing.T) {
	guest.Need(t)
	const busy = 200 * time.Millisecond
	monitor, process := MonitorCPU(t, os.Getpid()), CPU(t, os.Getpid())
	nanosleep := strconv.Itoa(unix.SYS_NANOSLEEP) + " "
	seen := false
	for begin := time.Now(); time.Since(begin) < busy; {
		file := fmt.Sprintf("/proc/self/task/%d/syscall", guest.Monitor(t, os.Getpid()))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || len(text) > len(nanosleep) && string(text[:len(nanosleep)]) == nanosleep
	}
	if !seen {
		t.Error("it has never been in nanosleep(2)")
	}
	monitor, process = MonitorCPU(t, os.Getpid())-monitor, CPU(t, os.Getpid())-process
	t.Logf("%v of %v", monitor, process)
	if monitor <= 0 || monitor > process/2 {
		t.Errorf("it has used %v of %v", monitor, process)
	}
}
