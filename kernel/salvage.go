package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/sh"
)

// A make that ends in its own way removes what it had half-written. One that
// is killed, or whose compilers are, does not: the mark that begin sets then
// stays, and salvage sorts out what can be trusted.

// lastWrites is how long before the last write of all a command that was
// killed may have written to a file that kbuild keeps no record of.
const lastWrites = 10 * time.Second

// maxLinger bounds the wait for processes of an earlier make to end.
const maxLinger = time.Minute

// running is the mark of objects that a make is working on. It holds the id
// of this boot, for a machine that goes down loses files that seemed written.
func (l *lane) running() string { return filepath.Join(l.obj, ".runvm-running") }

// bootID is empty where it is not known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return trimLine(id)
}

// begin marks the objects before cmd, a make, starts. The caller, in the same
// goroutine, says to end whether make ended in its own way.
func (l *lane) begin(cmd *sh.Cmd) (end func(whole bool), err error) {
	if err := os.WriteFile(l.running(), []byte(bootID()), 0o644); err != nil {
		return nil, fmt.Errorf("mark %s: %w", l.obj, err)
	}
	// Every process of make inherits this file and with it the lock, which
	// lasts as long as one of them lives, whatever becomes of runvm.
	alive, err := os.OpenFile(l.alive(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("mark %s: %w", l.obj, err)
	}
	if err := syscall.Flock(int(alive.Fd()), syscall.LOCK_SH); err != nil {
		alive.Close()
		return nil, fmt.Errorf("lock %s: %w", alive.Name(), err)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, alive)
	// Pdeathsig is about the thread that starts make: it must not end before.
	runtime.LockOSThread()
	return func(whole bool) {
		runtime.UnlockOSThread()
		alive.Close()
		if whole {
			_ = os.Remove(l.running())
		}
	}, nil
}

func (l *lane) alive() string { return filepath.Join(l.dir, "make.lock") }

// settle waits until no process of an earlier make is left in the lane: they
// end soon after a runvm that was killed, but not before it.
func (l *lane) settle(ctx context.Context) error {
	alive, err := os.OpenFile(l.alive(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	defer alive.Close()
	try := func() error { return syscall.Flock(int(alive.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	if err = try(); err == nil {
		return nil
	}
	step := l.b.step("wait for the make of a runvm that was killed", 0)
	defer step.Done("")
	ctx, cancel := context.WithTimeout(ctx, maxLinger)
	defer cancel()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: processes of an earlier make still hold it (fuser -k %[1]s ends them): %w", l.alive(), ctx.Err())
		case <-tick.C:
			err = try()
		}
	}
	return err
}

// salvage throws away what a make that was killed may have left half-written,
// and keeps the rest.
func (l *lane) salvage() error {
	mark, err := os.Stat(l.running())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := readBounded(l.running(), 64)
	if err != nil || len(id) == 0 || string(id) != bootID() {
		return discard(l.obj)
	}
	if err := removeTorn(l.obj, mark.ModTime()); err != nil {
		return fmt.Errorf("tidy up %s: %w", l.obj, err)
	}
	return os.Remove(l.running())
}

// removeTorn removes those files of dir, written since start, that may not be
// whole. kbuild writes a target and then its record, .TARGET.cmd: a target
// whose record is whole and not older is whole, too, another is not. A file
// without a record goes when it is among the last that were written.
func removeTorn(dir string, start time.Time) error {
	written := map[string]time.Time{}
	var last time.Time
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || replaced(dir, file) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if at := info.ModTime(); !at.Before(start) {
			written[file] = at
			if at.After(last) {
				last = at
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	maps.DeleteFunc(written, func(file string, at time.Time) bool {
		whole, known := recorded(file, at)
		return known && whole || !known && last.Sub(at) > lastWrites
	})
	for file := range written { // not before all are judged, each by others
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// recorded tells whether a file written at that time is whole as far as
// kbuild's records go; known is false where there is none.
func recorded(file string, at time.Time) (whole, known bool) {
	dir, name := filepath.Split(file)
	if target, ok := strings.CutPrefix(name, "."); ok && strings.HasSuffix(target, ".cmd") {
		return wholeRecord(file, dir+"."+strings.TrimSuffix(target, ".cmd")+".d"), true
	}
	record := dir + "." + name + ".cmd"
	info, err := os.Stat(record)
	if err != nil {
		return false, false
	}
	return !info.ModTime().Before(at) && wholeRecord(record, dir+"."+name+".d"), true
}

// wholeRecord tells whether a record has its end. One with dependencies is
// made by scripts/basic/fixdep from a file that is removed only then, and ends
// with a rule, $(deps_TARGET): or TARGET: $(wildcard …/objtool); one without is
// a line.
func wholeRecord(record, depfile string) bool {
	if _, err := os.Lstat(depfile); err == nil {
		return false
	}
	text, err := readBounded(record, maxCmd)
	if err != nil || !bytes.HasSuffix(text, []byte("\n")) {
		return false
	}
	_, deps, found := bytes.Cut(text, []byte("\nsource_"))
	return !found || bytes.HasSuffix(deps, []byte("):\n")) || bytes.HasSuffix(deps, []byte(")\n"))
}

// replaced tells of files that are never half-written, for they are replaced
// by renaming: ours, and what scripts/kconfig writes, without which it would
// take every symbol for changed.
func replaced(dir, file string) bool {
	name := strings.TrimPrefix(file, dir+"/")
	return strings.HasPrefix(name, ".runvm-") || strings.HasPrefix(name, ".config") ||
		strings.HasPrefix(name, "include/config/")
}
