package main

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// A reaper collects every process that ends: PID 1 inherits all orphans.
type reaper struct {
	mu   sync.Mutex
	work *sync.Cond // family is new
	family
}

// A family is a program and all that descends from it.
type family struct {
	pid    int
	exited chan unix.WaitStatus // gets the program's status
	gone   chan struct{}        // closed when no process is left
}

func newReaper() *reaper {
	r := new(reaper)
	r.work = sync.NewCond(&r.mu)
	go r.loop()
	return r
}

// start runs fork, which returns the PID of the process it started, and
// returns the new family. There must be no other program under way; what is
// left of an earlier one counts as part of this family.
func (r *reaper) start(fork func() (int, error)) (family, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return family{}, err
	}
	r.family = family{pid: pid, exited: make(chan unix.WaitStatus, 1), gone: make(chan struct{})}
	r.work.Signal()
	return r.family, nil
}

func (r *reaper) loop() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		r.took(pid, status, err)
	}
}

// took handles one answer of wait4.
func (r *reaper) took(pid int, status unix.WaitStatus, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, unix.ECHILD) {
		// A program may have been started since.
		pid, err = unix.Wait4(-1, &status, unix.WNOHANG, nil)
	}
	switch {
	case errors.Is(err, unix.ECHILD):
		if r.gone != nil {
			close(r.gone)
		}
		r.family = family{}
		for r.gone == nil {
			r.work.Wait()
		}
	case err == nil && pid != 0 && pid == r.pid:
		r.exited <- status
		r.pid = 0 // its number may be used again
	}
}
