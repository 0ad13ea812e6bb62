package lkdtm

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/runvm/runvm/vmtests/guest"
)

// direct lists the crash types when read, and provokes the one written.
const direct = "/sys/kernel/debug/provoke-crash/DIRECT"

// types are the crash types of the kernel that runs.
func types(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(direct)
	if err != nil {
		t.Fatalf("list crash types: %v: is CONFIG_LKDTM=y?", err)
	}
	_, list, ok := strings.Cut(string(data), "Available crash types:\n")
	if !ok {
		t.Fatalf("list crash types: %q has no list", data)
	}
	return strings.Fields(list)
}

// TestTypes tells the host which crash types there are.
func TestTypes(t *testing.T) {
	guest.Need(t)
	for _, kind := range types(t) {
		t.Logf("crash type %s", kind)
	}
}

// twice are the types that LKDTM provokes only when asked a second time: one
// leaves a lock taken, the other compares two processes.
var twice = map[string]bool{"SPINLOCKUP": true, "REPORT_STACK_CANARY": true}

// linger is how long a guest goes on after a type that it survived, so that
// what the kernel has to say of it is on the console.
const linger = 100 * time.Millisecond

// TestProvoke has a subtest for each type. Run one of them in a guest: what
// comes after a crash tells nothing.
func TestProvoke(t *testing.T) {
	guest.Need(t)
	for _, kind := range types(t) {
		t.Run(kind, func(t *testing.T) {
			provoke(t, kind)
			if twice[kind] {
				provoke(t, kind)
			}
			time.Sleep(linger)
		})
	}
}

// provoke asks for a crash on a thread of its own, which goes with it: the
// kernel may kill it, and the second crash of a type then meets another one.
func provoke(t *testing.T, kind string) {
	t.Helper()
	survived := make(chan error)
	go func() {
		runtime.LockOSThread()
		survived <- os.WriteFile(direct, []byte(kind), 0)
	}()
	t.Logf("%s: survived: %v", kind, <-survived)
}
