package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

// A mount is a file system of the guest.
type mount struct {
	kind, path, options string
	flags               uintptr
	// optional says that a kernel may be built without it.
	optional bool
}

func mounts() []mount {
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mount{
		{kind: "proc", path: "/proc", flags: plain},
		{kind: "sysfs", path: "/sys", flags: plain},
		{kind: "devtmpfs", path: "/dev", flags: unix.MS_NOSUID},
		{kind: "devpts", path: "/dev/pts", options: "mode=0620,ptmxmode=0666", optional: true},
		{kind: "tmpfs", path: "/dev/shm", options: "mode=1777", flags: unix.MS_NOSUID | unix.MS_NODEV},
		{kind: "tmpfs", path: "/tmp", options: "mode=1777"},
		{kind: "tmpfs", path: "/run", options: "mode=0755"},
		{kind: "cgroup2", path: "/sys/fs/cgroup", optional: true},
		{kind: "debugfs", path: "/sys/kernel/debug", optional: true},
		{kind: "tracefs", path: "/sys/kernel/tracing", optional: true},
	}
}

// mountAll mounts everything and returns what failed.
func mountAll() []error {
	var failed []error
	for _, m := range mounts() {
		if err := m.do(); err != nil {
			failed = append(failed, err)
		}
	}
	for path, target := range map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "fd/0",
		"/dev/stdout": "fd/1",
		"/dev/stderr": "fd/2",
	} {
		if err := os.Symlink(target, path); err != nil && !errors.Is(err, os.ErrExist) {
			failed = append(failed, err)
		}
	}
	return failed
}

func (m *mount) do() error {
	// A kernel without the file system has no directory for it in /sys either.
	if err := os.MkdirAll(m.path, 0o755); err != nil && !m.optional {
		return fmt.Errorf("mount %s: %w", m.path, err)
	}
	err := unix.Mount(m.kind, m.path, m.kind, m.flags, m.options)
	// A kernel may mount devtmpfs by itself.
	if err == nil || m.optional || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return fmt.Errorf("mount %s on %s: %w", m.kind, m.path, err)
}

// prepare does what the plan asks for before its first test and returns what
// failed.
func prepare(plan *wire.Plan) []error {
	var failed []error
	add := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	// Otherwise marks in the kernel log are limited to ten in five seconds.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on"), 0)
	add(outrank())
	add(setClock(plan.Clock))
	if plan.Hostname != "" {
		add(unix.Sethostname([]byte(plan.Hostname)))
	}
	for _, file := range plan.Modules {
		add(loadModule(file))
	}
	add(loopbackUp())
	names := make([]string, 0, len(plan.Sysctls))
	for name := range plan.Sysctls {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add(setSysctl(name, plan.Sysctls[name]))
	}
	for _, share := range plan.Shares {
		add(mountShare(share))
	}
	return failed
}

// loadModule loads the module in a file; one that is there is left alone.
func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", filepath.Base(file), err)
	}
	return nil
}

// setClock sets the time of day where the guest's own is behind it.
func setClock(ns int64) error {
	if ns == 0 || time.Now().UnixNano() >= ns {
		return nil
	}
	ts := unix.NsecToTimespec(ns)
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

func setSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	return nil
}

func mountShare(share wire.Share) error {
	if err := os.MkdirAll(share.Path, 0o755); err != nil {
		return fmt.Errorf("mount share %s: %w", share.Tag, err)
	}
	flags := uintptr(0)
	if share.ReadOnly {
		flags = unix.MS_RDONLY
	}
	const options = "trans=virtio,version=9p2000.L,msize=512000"
	if err := unix.Mount(share.Tag, share.Path, "9p", flags, options); err != nil {
		return fmt.Errorf("mount share %s on %s: %w", share.Tag, share.Path, err)
	}
	return nil
}

// loopbackUp lets tests listen on 127.0.0.1, where the kernel has a network.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set up the loopback interface: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set up the loopback interface: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set up the loopback interface: %w", err)
	}
	return nil
}
