package fusesrv

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// registerBacking is FUSE_DEV_IOC_BACKING_OPEN: _IOW(229, 1, struct
	// fuse_backing_map); dropBacking is FUSE_DEV_IOC_BACKING_CLOSE:
	// _IOW(229, 2, uint32_t).
	registerBacking = 0x4010e501
	dropBacking     = 0x4004e502
)

// passthroughPath gives the kernel the descriptor at each open, and has it
// read from there without asking. There is no page cache of the FUSE file, and
// no READ: one that comes nevertheless is answered with EOPNOTSUPP.
func passthroughPath() Path {
	return Path{
		Name: "passthrough", Needs: Files, InKernel: true,
		initFlags: fuse.CAP_PASSTHROUGH, open: openNoReads, probe: probePassthrough,
	}
}

// noReads answers what must not come.
type noReads struct{}

func openNoReads(conn, int) (answerer, error) { return noReads{}, nil }

func (noReads) close() {}

func (noReads) answer(r *read) error { return r.fail(unix.EOPNOTSUPP) }

// probePassthrough registers a file and drops it: a server without
// CAP_SYS_ADMIN may not, and would learn it at the first open.
func probePassthrough(dev int) error {
	fd, err := unix.MemfdCreate("fusesrv", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	defer unix.Close(fd)
	id, no := backingID(dev, fd)
	if no != 0 {
		return fmt.Errorf("register a backing file: %w", no)
	}
	if no := forgetBacking(dev, id); no != 0 {
		return fmt.Errorf("drop a backing file: %w", no)
	}
	return nil
}

// backingID makes fd known to dev's connection.
func backingID(dev, fd int) (int32, syscall.Errno) {
	m := fuse.BackingMap{Fd: int32(fd)}
	id, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), registerBacking, uintptr(unsafe.Pointer(&m)))
	return int32(id), no
}

// forgetBacking is the opposite.
func forgetBacking(dev int, id int32) syscall.Errno {
	_, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), dropBacking, uintptr(unsafe.Pointer(&id)))
	return no
}

// passCallbacks makes go-fuse register what it opens. If that fails, READs
// come, which noReads answers.
type passCallbacks struct{ *callbacks }

// RegisterBackingFd is called by go-fuse at an open.
func (c passCallbacks) RegisterBackingFd(m *fuse.BackingMap) (int32, syscall.Errno) {
	id, no := backingID(c.dev, int(m.Fd))
	if no == 0 {
		c.count.passed.Add(1)
	}
	return id, no
}

// UnregisterBackingFd is called by go-fuse at the last close.
func (c passCallbacks) UnregisterBackingFd(id int32) syscall.Errno {
	return forgetBacking(c.dev, id)
}
