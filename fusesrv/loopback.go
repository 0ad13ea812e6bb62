package fusesrv

import (
	"context"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Loopback is the directory dir and all below it, to read and to write.
func Loopback(dir string) Tree { return loopback(dir) }

type loopback string

func (loopback) backing() Backing { return Files }

func (l loopback) root(o *Options) (gofs.InodeEmbedder, error) {
	if err := mustBeDir(string(l)); err != nil {
		return nil, err
	}
	node, err := gofs.NewLoopbackRoot(string(l))
	if err != nil {
		return nil, err
	}
	return wrap(node, opening{reply: o.openFlags(), file: o.path.fileFlags, direct: o.DirectSource, target: o.DirectTarget}), nil
}

// An opening says how files are opened.
type opening struct {
	reply  uint32 // what OPEN says about the page cache
	file   int    // flags for every file
	direct bool   // past the file's own page cache, to read
	target bool   // the same, to write
}

// flags returns those to open a file with that the reader opens with flags:
// O_DIRECT is about the reader's cache alone.
func (o opening) flags(flags uint32) uint32 {
	flags = flags&^unix.O_DIRECT | uint32(o.file)
	if o.isDirect(flags) || o.target && flags&unix.O_ACCMODE == unix.O_WRONLY {
		flags |= unix.O_DIRECT
	}
	return flags
}

// isDirect says that a file that the reader opens with flags is read directly.
func (o opening) isDirect(flags uint32) bool {
	return o.direct && flags&unix.O_ACCMODE == unix.O_RDONLY
}

// A loopNode is go-fuse's node with two differences: its OPEN speaks of the
// page cache, its READ names the descriptor instead of reading it.
type loopNode struct {
	*gofs.LoopbackNode
	opening opening
}

// A loopFile is an open file that is at hand as a source, for each of its READs.
type loopFile struct {
	*gofs.LoopbackFile
	source source
}

var (
	_ gofs.NodeOpener         = (*loopNode)(nil)
	_ gofs.NodeCreater        = (*loopNode)(nil)
	_ gofs.NodeTmpfiler       = (*loopNode)(nil)
	_ gofs.NodeReader         = (*loopNode)(nil)
	_ gofs.NodeCopyFileRanger = (*loopNode)(nil)
	_ gofs.NodeWrapChilder    = (*loopNode)(nil)
)

// wrap returns a loopNode around node, or node itself if it is not go-fuse's.
func wrap(node gofs.InodeEmbedder, o opening) gofs.InodeEmbedder {
	inner, ok := node.(*gofs.LoopbackNode)
	if !ok {
		return node
	}
	return &loopNode{LoopbackNode: inner, opening: o}
}

// WrapChild implements fs.NodeWrapChilder.
func (n *loopNode) WrapChild(_ context.Context, child gofs.InodeEmbedder) gofs.InodeEmbedder {
	return wrap(child, n.opening)
}

// Open implements fs.NodeOpener.
func (n *loopNode) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	f, reply, errno := n.LoopbackNode.Open(ctx, n.opening.flags(flags))
	return n.opened(f, flags), reply | n.opening.reply, errno
}

// Create implements fs.NodeCreater.
func (n *loopNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	node, f, reply, errno := n.LoopbackNode.Create(ctx, name, n.opening.flags(flags), mode, out)
	return node, n.opened(f, flags), reply | n.opening.reply, errno
}

// Tmpfile implements fs.NodeTmpfiler.
func (n *loopNode) Tmpfile(ctx context.Context, flags, mode uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	node, f, reply, errno := n.LoopbackNode.Tmpfile(ctx, n.opening.flags(flags), mode, out)
	return node, n.opened(f, flags), reply | n.opening.reply, errno
}

// opened returns what stands for f, which the reader opened with flags.
func (n *loopNode) opened(f gofs.FileHandle, flags uint32) gofs.FileHandle {
	file, ok := f.(*gofs.LoopbackFile)
	if !ok {
		return f
	}
	fd, ok := file.PassthroughFd()
	if !ok {
		return f
	}
	return &loopFile{file, source{fd: fd, end: noEnd, direct: n.opening.isDirect(flags)}}
}

// Read implements fs.NodeReader. The descriptor stays open while the READ is
// answered: the kernel sends RELEASE after the last answer.
func (n *loopNode) Read(_ context.Context, f gofs.FileHandle, _ []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	file, ok := f.(*loopFile)
	if !ok {
		return nil, syscall.EBADF
	}
	return &file.source, 0
}

// CopyFileRange implements fs.NodeCopyFileRanger: go-fuse wants its own files.
func (n *loopNode) CopyFileRange(ctx context.Context, in gofs.FileHandle, offIn uint64, node *gofs.Inode, out gofs.FileHandle, offOut, size, flags uint64) (uint32, syscall.Errno) {
	return n.LoopbackNode.CopyFileRange(ctx, inner(in), offIn, node, inner(out), offOut, size, flags)
}

// inner returns go-fuse's file of f.
func inner(f gofs.FileHandle) gofs.FileHandle {
	if file, ok := f.(*loopFile); ok {
		return file.LoopbackFile
	}
	return f
}
