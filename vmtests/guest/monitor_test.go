package guest_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/counter"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMonitor looks at what the thread does that is taken for the monitor: no other
// sleeps by nanosleep(2) while the program computes.
func TestMonitor(t *testing.T) {
	guest.Need(t)
	const busy = 200 * time.Millisecond
	pid := os.Getpid()
	tid := guest.Monitor(t, pid)
	monitor, process := counter.ThreadCPU(t, pid, tid), counter.CPU(t, pid)
	seen := false
	for begin := time.Now(); time.Since(begin) < busy; {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || strings.HasPrefix(string(text), strconv.Itoa(unix.SYS_NANOSLEEP)+" ")
	}
	if !seen {
		t.Error("it has never been in nanosleep(2)")
	}
	monitor, process = counter.ThreadCPU(t, pid, tid)-monitor, counter.CPU(t, pid)-process
	t.Logf("%v of %v", monitor, process)
	if monitor <= 0 || monitor >= process {
		t.Errorf("it has used %v of %v", monitor, process)
	}
}

// TestCalmMonitor: a thread's slack is what it was when the test has ended, which is
// what programs have everywhere, though PID 1 is a real-time process.
func TestCalmMonitor(t *testing.T) {
	guest.Need(t)
	slack := func(t *testing.T) string {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", guest.Monitor(t, os.Getpid())))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	const usual = "50000"
	if before := slack(t); before != usual {
		t.Errorf("a slack of %s ns to begin with", before)
	}
	t.Run("calm", func(t *testing.T) {
		guest.CalmMonitor(t)
		if got := slack(t); got != "10000000" {
			t.Errorf("a slack of %s ns", got)
		}
	})
	if after := slack(t); after != usual {
		t.Errorf("a slack of %s ns afterwards", after)
	}
}
