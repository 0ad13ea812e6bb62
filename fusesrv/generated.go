package fusesrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A File is a read-only file of a Generated tree.
type File struct {
	// Name is one path component.
	Name string
	// Size is what stat(2) says, in bytes. READs end there, or earlier when
	// Data does.
	Size int64
	// Data yields the bytes; it is called by several workers at once and may
	// take its time. A syscall.Errno as its error goes to the reader,
	// another error as EIO. io.EOF before Size makes the answer short.
	Data io.ReaderAt
	// Stream, or else From, yields them in place of Data: descriptors do for
	// more paths. From stays open as long as the mount.
	Stream Stream
	// From is a block device or a file, read at positions. If it was opened
	// with O_DIRECT, then it must end at Size.
	From *os.File
}

// Generated is a directory of files that exist in no other file system.
func Generated(files ...File) Tree { return generated(files) }

type generated []File

func (g generated) backing() Backing {
	for _, f := range g {
		if f.Stream == nil && f.From == nil {
			return Memory
		}
	}
	return Descriptors
}

func (g generated) root(o *Options) (gofs.InodeEmbedder, error) {
	seen := map[string]bool{}
	for _, f := range g {
		if err := f.check(); err != nil {
			return nil, err
		}
		if seen[f.Name] {
			return nil, fmt.Errorf("file %q: twice", f.Name)
		}
		seen[f.Name] = true
	}
	return &genDir{files: g, flags: o.openFlags()}, nil
}

// check refuses what a directory cannot hold.
func (f *File) check() error {
	switch {
	case f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsAny(f.Name, "/\x00"):
		return fmt.Errorf("file %q: not a name", f.Name)
	case f.Size < 0:
		return fmt.Errorf("file %q: size %d below 0", f.Name, f.Size)
	case f.Data == nil && f.Stream == nil && f.From == nil:
		return fmt.Errorf("file %q: %w", f.Name, errors.New("no data"))
	}
	return nil
}

// A genDir is the root of a Generated tree.
type genDir struct {
	gofs.Inode
	files []File
	flags uint32
}

var (
	_ gofs.NodeOnAdder   = (*genDir)(nil)
	_ gofs.NodeGetattrer = (*genDir)(nil)
)

// OnAdd implements fs.NodeOnAdder.
func (d *genDir) OnAdd(ctx context.Context) {
	for _, f := range d.files {
		node := &genFile{size: f.Size, from: f.source(), flags: d.flags}
		d.AddChild(f.Name, d.NewPersistentInode(ctx, node, gofs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
}

// Getattr implements fs.NodeGetattrer.
func (d *genDir) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0o555
	return 0
}

// source returns where f's bytes come from.
func (f *File) source() source {
	s := source{fd: -1, data: f.Data, stream: f.Stream, end: f.Size}
	if f.Stream != nil || f.From != nil {
		s.data = nil
	}
	if f.From != nil {
		s.fd = int(f.From.Fd())
		flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
		s.direct = err == nil && flags&unix.O_DIRECT != 0
	}
	return s
}

// A genFile is a file of a Generated tree.
type genFile struct {
	gofs.Inode
	size  int64
	from  source
	flags uint32
}

var (
	_ gofs.NodeGetattrer = (*genFile)(nil)
	_ gofs.NodeOpener    = (*genFile)(nil)
	_ gofs.NodeReader    = (*genFile)(nil)
)

// Getattr implements fs.NodeGetattrer.
func (f *genFile) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0o444
	out.Size = uint64(f.size)
	return 0
}

// Open implements fs.NodeOpener.
func (f *genFile) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, 0, syscall.EROFS
	}
	return nil, f.flags, 0
}

// Read implements fs.NodeReader.
func (f *genFile) Read(context.Context, gofs.FileHandle, []byte, int64) (fuse.ReadResult, syscall.Errno) {
	return &f.from, 0
}
