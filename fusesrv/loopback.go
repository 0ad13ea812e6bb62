package fusesrv

import (
	"context"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Loopback is the directory dir and all below it, to read and to write.
func Loopback(dir string) Tree { return loopback(dir) }

type loopback string

func (loopback) hasFiles() bool { return true }

func (l loopback) root(o *Options) (gofs.InodeEmbedder, error) {
	if err := mustBeDir(string(l)); err != nil {
		return nil, err
	}
	node, err := gofs.NewLoopbackRoot(string(l))
	if err != nil {
		return nil, err
	}
	return wrap(node, o.openFlags()), nil
}

// A loopNode is go-fuse's node with two differences: its OPEN speaks of the
// page cache, its READ names the descriptor instead of reading it.
type loopNode struct {
	*gofs.LoopbackNode
	flags uint32
}

var (
	_ gofs.NodeOpener      = (*loopNode)(nil)
	_ gofs.NodeReader      = (*loopNode)(nil)
	_ gofs.NodeWrapChilder = (*loopNode)(nil)
)

// wrap returns a loopNode around node, or node itself if it is not go-fuse's.
func wrap(node gofs.InodeEmbedder, flags uint32) gofs.InodeEmbedder {
	inner, ok := node.(*gofs.LoopbackNode)
	if !ok {
		return node
	}
	return &loopNode{LoopbackNode: inner, flags: flags}
}

// WrapChild implements fs.NodeWrapChilder.
func (n *loopNode) WrapChild(_ context.Context, child gofs.InodeEmbedder) gofs.InodeEmbedder {
	return wrap(child, n.flags)
}

// Open implements fs.NodeOpener.
func (n *loopNode) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	f, reply, errno := n.LoopbackNode.Open(ctx, flags)
	return f, reply | n.flags, errno
}

// Read implements fs.NodeReader. The descriptor stays open while the READ is
// answered: the kernel sends RELEASE after the last answer.
func (n *loopNode) Read(_ context.Context, f gofs.FileHandle, _ []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	file, ok := f.(*gofs.LoopbackFile)
	if !ok {
		return nil, syscall.EBADF
	}
	fd, ok := file.PassthroughFd()
	if !ok {
		return nil, syscall.EBADF
	}
	return &source{fd: fd}, 0
}
