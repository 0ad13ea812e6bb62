package vm

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/internal/wire"
)

// snapshotFormat grows when snapshots made before cannot be used any more.
const snapshotFormat = 1

// keepSnapshots is how many are kept: each takes what its guest has written
// to its memory, 100 MiB and more.
const keepSnapshots = 8

// The files of a snapshot.
const (
	ramName     = "ram"     // the guest's memory
	stateName   = "state"   // what else QEMU knows of it
	consoleName = "console" // what it said until then
	resultsName = "results.jsonl"
)

// A snapshot is a guest that has booted and waits for a Payload.
type snapshot struct{ dir string }

func (s *snapshot) path(name string) string { return filepath.Join(s.dir, name) }

// resumable tells whether the state of m is all in QEMU's hands, and the same
// when it goes on later. A guest with KVM has booted in the time a snapshot
// takes to load.
func (m *Machine) resumable() bool {
	if m.Accel.Name != TCG || m.Deterministic || len(m.Disks)+len(m.Shares) > 0 || m.Net || m.TTY {
		return false
	}
	var size int64
	for _, path := range m.Payload {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		size += info.Size() + 4
	}
	return len(m.Payload) > 0 && size+maxHeader <= wire.MaxPayload
}

// resume runs m from its snapshot, which it makes where there is none. When
// the guest does not get as far as that, its boot is the run.
func resume(ctx context.Context, path string, m Machine, o Options) (*Result, error) {
	key, err := m.snapshotKey(path)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s := &snapshot{dir: filepath.Join(o.Snapshots, key)}
	for retried := false; ; retried = true {
		boot, err := s.ensure(ctx, path, m, o)
		if boot != nil || err != nil {
			return boot, err
		}
		result, err := s.run(ctx, path, m, o)
		if !errors.Is(err, errStale) || retried || ctx.Err() != nil {
			return result, err
		}
		// It is damaged, another runvm has just removed it, or QEMU has changed
		// in place.
		if err := os.RemoveAll(s.dir); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
}

var (
	// errStale says that a snapshot cannot be loaded.
	errStale = errors.New("the snapshot cannot be loaded")
	// errCold says that a machine has to boot: QEMU lacks the payload's
	// device, the guest's kernel does not let PID 1 have its memory (lockdown),
	// or the disk has no room.
	errCold = errors.New("no snapshot can be made")
)

// snapshotKey names all that the guest's state at its snapshot depends on.
func (m *Machine) snapshotKey(qemu string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, snapshotFormat, wire.Version, wire.MaxPayload)
	for _, path := range append([]string{qemu, m.Kernel}, m.Initrd...) {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d", path, info.Size())
		if !slices.Contains(m.Initrd, path) { // they are named after their contents, and touched
			fmt.Fprint(h, info.ModTime().UnixNano())
		}
		fmt.Fprintln(h)
	}
	// What the host's time stamp counter is like, a boot tells from another;
	// its frequency, measured, differs a little each time.
	host, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	same := *m
	same.tscKHz = 0
	fmt.Fprintf(h, "%s%q\n", host, same.args(ends{console: "c", results: "r", qmp: "q", ram: "m", payload: "p"}))
	return fmt.Sprintf("%x", h.Sum(nil)[:12]), nil
}

// ensure makes s unless it exists. A Result is that of a guest that ended
// before it was ready; its console and results have been passed on.
func (s *snapshot) ensure(ctx context.Context, path string, m Machine, o Options) (*Result, error) {
	if s.exists() {
		return nil, nil
	}
	if err := os.MkdirAll(o.Snapshots, 0o755); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	lock := flock.New(s.dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("snapshot: %w", cmp.Or(context.Cause(ctx), err))
	}
	defer func() { _ = lock.Unlock() }()
	if s.exists() {
		return nil, nil
	}
	sweep(o.Snapshots)
	if !roomy(o.Snapshots, m.MemoryMiB) {
		return nil, errCold
	}
	tmp, err := os.MkdirTemp(o.Snapshots, temporary)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer os.RemoveAll(tmp)
	return s.make(ctx, path, m, o, &snapshot{dir: tmp})
}

// exists tells whether s is there, and that it is used.
func (s *snapshot) exists() bool {
	now := time.Now()
	// In a cache that somebody else owns it stays as it is.
	_ = os.Chtimes(s.dir, now, now)
	_, err := os.Stat(s.path(stateName))
	return err == nil
}

// make boots m without its Payload and saves it in tmp, which becomes s.
func (s *snapshot) make(ctx context.Context, path string, m Machine, o Options, tmp *snapshot) (*Result, error) {
	c, err := open(&m, m.Initrd)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer c.close()
	if err := c.offerMemory(tmp, nil); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	boot, files, err := tmp.recording(o)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer files()
	r := newRun(path, m, boot, c)
	r.script = saveScript()
	result, err := r.boot(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case r.migrated && result.Reason == Killed && ctx.Err() == nil:
		return nil, os.Rename(tmp.dir, s.dir)
	case result.Reason == PowerOff, result.Reason == QEMUExit && result.ConsoleBytes == 0:
		return nil, errCold
	}
	return result, tmp.tell(o)
}

// roomy tells whether dir has room for all that a guest may write to its
// memory: QEMU does not survive a disk that is full.
func roomy(dir string, memoryMiB int) bool {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return false
	}
	return s.Bavail*uint64(s.Bsize) > uint64(memoryMiB+64)<<20
}

// recording are o's options for a boot whose console and results go into s,
// and what closes the files.
func (s *snapshot) recording(o Options) (Options, func(), error) {
	console, err := os.Create(s.path(consoleName))
	if err != nil {
		return o, nil, err
	}
	results, err := os.Create(s.path(resultsName))
	if err != nil {
		console.Close()
		return o, nil, err
	}
	boot := o
	boot.Console, boot.Results, boot.OnRecord = console, results, func(wire.Record) {}
	return boot, func() { console.Close(); results.Close() }, nil
}

// tell passes on what a guest said that did not get ready.
func (s *snapshot) tell(o Options) error {
	if err := s.copy(o.Console, consoleName); err != nil {
		return err
	}
	return s.copy(newRecorder(o.Results, o.MaxResults, o.OnRecord), resultsName)
}

// copy writes the file name of s to w.
func (s *snapshot) copy(w io.Writer, name string) error {
	f, err := os.Open(s.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// run lets the guest of s go on with m's Payload.
func (s *snapshot) run(ctx context.Context, path string, m Machine, o Options) (*Result, error) {
	c, err := open(&m, nil)
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	defer c.close()
	info, err := os.Stat(s.path(stateName))
	if err != nil {
		return nil, errStale
	}
	c.resumes = true
	if err := c.offerMemory(s, m.Payload); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errStale
		}
		return nil, fmt.Errorf("resume: %w", err)
	}
	r := newRun(path, m, o, c)
	r.script, r.before = loadScript(), s
	result, err := r.boot(ctx)
	if !r.migrated && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", errStale, cmp.Or(err, errors.New(r.result.Detail)))
	}
	if result != nil {
		result.Booted = info.ModTime()
	}
	return result, err
}

// replay writes the file name of the snapshot that the run goes on from, if
// it does, as soon as that is sure.
func (r *run) replay(w io.Writer, name string) error {
	if r.before == nil {
		return nil
	}
	select {
	case <-r.begun:
		return r.before.copy(w, name)
	case <-r.process.exited:
		return nil
	}
}

// offerMemory makes QEMU keep the guest's memory and state in s, or take them
// from there, and gives it payload.
func (c *channels) offerMemory(s *snapshot, payload []string) error {
	flags := os.O_RDWR | os.O_CREATE | os.O_TRUNC
	if c.resumes {
		flags = os.O_RDONLY
	}
	state, err := os.OpenFile(s.path(stateName), flags, 0o644)
	if err != nil {
		return err
	}
	c.state = state
	c.ram = s.path(ramName)
	fd, err := unix.MemfdCreate("payload", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	mem := os.NewFile(uintptr(fd), "payload")
	c.payload = fmt.Sprintf("/proc/self/fd/%d", c.inherit(mem))
	if err := writePayload(mem, payload); err != nil {
		return err
	}
	return mem.Truncate(wire.MaxPayload)
}

// maxHeader bounds a payload's header, in bytes.
const maxHeader = 4 << 10

// writePayload writes the archives as wire.Payload describes; none is nothing.
func writePayload(w io.WriteSeeker, archives []string) error {
	if len(archives) == 0 {
		return nil
	}
	header := wire.Payload{Version: wire.Version, Clock: time.Now().UnixNano(), Entropy: make([]byte, 32)}
	_, _ = rand.Read(header.Entropy) // never fails
	for _, path := range archives {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		header.Size += info.Size() + -info.Size()&3
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return err
	}
	for _, path := range archives {
		if err := appendFile(w, path); err != nil {
			return err
		}
	}
	return nil
}

// temporary begins the names of snapshots that are being made.
const temporary = "new-"

// sweep makes room in dir for one more snapshot and removes what a killed
// runvm left. What goes wrong here costs space only.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir)
	used := make(map[string]time.Time)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() {
			used[filepath.Join(dir, e.Name())] = info.ModTime()
		}
	}
	var kept []string
	for path, at := range used {
		if !strings.HasPrefix(filepath.Base(path), temporary) {
			kept = append(kept, path)
		} else if time.Since(at) > time.Hour {
			_ = os.RemoveAll(path)
		}
	}
	slices.SortFunc(kept, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, path := range kept[min(len(kept), keepSnapshots-1):] {
		_ = os.RemoveAll(path)
		_ = os.Remove(path + ".lock")
	}
}
