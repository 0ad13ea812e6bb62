package vm

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRunDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1284 5600 7\n": 5600, "0 0 0\n": 0, "": -1, "1 2": -1, "1 x 3": -1, "1 -2 3": -1,
	} {
		d, ok := runDelay(text)
		if !ok {
			d = -1
		}
		if d != want {
			t.Errorf("%q: %v, want %v", text, d, want)
		}
	}
}

// The clock stands still while the guest waits for a processor.
func TestSilenceOfAStarvedGuest(t *testing.T) {
	t.Parallel()
	pids := make([]int, 2)
	for i := range pids {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		pids[i] = cmd.Process.Pid
	}
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	for _, pid := range pids { // both want the same processor
		if err := unix.SchedSetaffinity(pid, &one); err != nil {
			t.Fatal(err)
		}
	}
	if len(waitingOf(pids[0])) == 0 {
		t.Skip("this host does not count how long a thread waits")
	}
	s := newSilence(time.Minute, pids[0])
	for now := time.Duration(0); s.spared < 200*time.Millisecond; now += 50 * time.Millisecond {
		if now > 20*time.Second {
			t.Fatalf("of two that share a processor one waited %v", s.spared)
		}
		time.Sleep(50 * time.Millisecond)
		if left := s.left(now, 0); left != time.Minute-now+s.spared {
			t.Fatalf("left %v at %v, %v spared", left, now, s.spared)
		}
	}
	if s.left(30*time.Second, 30*time.Second); s.spared != 0 {
		t.Errorf("%v spared of a guest that was heard just now", s.spared)
	}
}
