package fusesrv

import (
	"encoding/binary"
	"fmt"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Notifications of include/uapi/linux/fuse.h that this package sends.
const (
	notifyInvalInode = 2
	notifyStore      = 4
)

// callbacks are what go-fuse asks of the connection: to tell the kernel
// something of its own accord. Those that this package does not use are
// refused.
type callbacks struct {
	dev   int
	count *counters
}

var _ gofs.ServerCallbacks = (*callbacks)(nil)

// notify sends a message that nobody asked for.
func (c *callbacks) notify(code uint32, body, data []byte) fuse.Status {
	var header [replyHeaderSize]byte
	binary.NativeEndian.PutUint32(header[0:], uint32(replyHeaderSize+len(body)+len(data)))
	binary.NativeEndian.PutUint32(header[4:], code)
	_, err := unix.Writev(c.dev, [][]byte{header[:], body, data})
	if err == nil {
		return fuse.OK
	}
	return fuse.Status(errnoOf(err))
}

// InodeNotify drops size bytes of a file's cache from off on.
func (c *callbacks) InodeNotify(node uint64, off, size int64) fuse.Status {
	body := binary.NativeEndian.AppendUint64(nil, node)
	body = binary.NativeEndian.AppendUint64(body, uint64(off))
	body = binary.NativeEndian.AppendUint64(body, uint64(size))
	return c.notify(notifyInvalInode, body, nil)
}

// InodeNotifyStoreCache puts data into a file's cache.
func (c *callbacks) InodeNotifyStoreCache(node uint64, off int64, data []byte) fuse.Status {
	body := binary.NativeEndian.AppendUint64(nil, node)
	body = binary.NativeEndian.AppendUint64(body, uint64(off))
	body = binary.NativeEndian.AppendUint32(body, uint32(len(data)))
	body = binary.NativeEndian.AppendUint32(body, 0)
	return c.notify(notifyStore, body, data)
}

// DeleteNotify implements gofs.ServerCallbacks.
func (*callbacks) DeleteNotify(uint64, uint64, string) fuse.Status { return fuse.ENOSYS }

// EntryNotify implements gofs.ServerCallbacks.
func (*callbacks) EntryNotify(uint64, string) fuse.Status { return fuse.ENOSYS }

// InodeRetrieveCache implements gofs.ServerCallbacks.
func (*callbacks) InodeRetrieveCache(uint64, int64, []byte) (int, fuse.Status) { return 0, fuse.ENOSYS }

// Invalidate drops what the kernel has cached of size bytes from off on of
// the file called name in the root directory; size 0 means to the end. It
// waits for READs of these pages, hence for workers. The error is ENOENT for a
// file that the kernel does not know (any more).
func (s *Server) Invalidate(name string, off, size int64) error {
	return s.tell("invalidate", name, func(n *gofs.Inode) syscall.Errno { return n.NotifyContent(off, size) })
}

// StoreCache puts data at off into the kernel's cache of the file called name
// in the root directory; otherwise it is like Invalidate. Data is at most
// MaxRead bytes long.
func (s *Server) StoreCache(name string, off int64, data []byte) error {
	return s.tell("store", name, func(n *gofs.Inode) syscall.Errno { return n.WriteCache(off, data) })
}

// tell finds name and has send say something of it.
func (s *Server) tell(what, name string, send func(n *gofs.Inode) syscall.Errno) error {
	child := s.root.EmbeddedInode().GetChild(name)
	if child == nil {
		return fmt.Errorf("%s %s: %w", what, name, unix.ENOENT)
	}
	if no := send(child); no != 0 {
		return fmt.Errorf("%s %s: %w", what, name, no)
	}
	return nil
}
