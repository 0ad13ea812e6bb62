package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A waiting is how long each thread of a process could have run and had to
// wait for a processor, by its number. Linux counts that since the thread
// began, where it is built with CONFIG_SCHED_INFO; elsewhere it is empty.
type waiting map[string]time.Duration

// waitingOf reads it of process pid. A thread that ends meanwhile is left out.
func waitingOf(pid int) waiting {
	w := waiting{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if d, ok := runDelay(string(text)); ok {
			w[filepath.Base(filepath.Dir(name))] = d
		}
	}
	return w
}

// runDelay is the second number of a schedstat, nanoseconds on a run queue:
// Documentation/scheduler/sched-stats.rst.
func runDelay(schedstat string) (time.Duration, bool) {
	fields := strings.Fields(schedstat)
	if len(fields) != 3 {
		return 0, false
	}
	ns, err := strconv.ParseInt(fields[1], 10, 64)
	return time.Duration(ns), err == nil && ns >= 0
}

// since is how long that thread waited since before which waited longest.
func (w waiting) since(before waiting) (longest time.Duration) {
	for thread, d := range w {
		longest = max(longest, d-before[thread])
	}
	return longest
}

// A silence is a clock that runs while a guest says nothing, and stands still
// while the host is too busy to run it: that a machine is loaded does not make
// a slow test a hang.
type silence struct {
	limit   time.Duration
	pid     int
	before  waiting       // when the clock was looked at last
	spared  time.Duration // what of the time since the guest was heard does not count
	heardAt time.Duration
}

func newSilence(limit time.Duration, pid int) *silence {
	return &silence{limit: limit, pid: pid, before: waitingOf(pid)}
}

// left is how much of the limit is left at now of a guest that was heard last
// at heard, 0 and less for none.
func (s *silence) left(now, heard time.Duration) time.Duration {
	after := waitingOf(s.pid)
	waited := after.since(s.before)
	s.before = after
	if heard != s.heardAt {
		s.heardAt, s.spared = heard, 0
		// part of it may have been before that
		waited = min(waited, now-heard)
	}
	s.spared += waited
	return s.limit - (now - heard - s.spared)
}

// String says for how long the guest was silent.
func (s *silence) String() string {
	text := fmt.Sprint(s.limit)
	if busy := s.spared.Round(time.Second); busy > 0 {
		text += fmt.Sprintf(", and for %v in which the host was too busy to run it", busy)
	}
	return text
}
