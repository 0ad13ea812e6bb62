package rawfuse

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Opcodes that tests look for (enum fuse_opcode of include/uapi/linux/fuse.h).
const (
	OpLookup      = 1
	OpForget      = 2
	OpGetattr     = 3
	OpSetattr     = 4
	OpOpen        = 14
	OpRead        = 15
	OpWrite       = 16
	OpStatfs      = 17
	OpRelease     = 18
	OpFsync       = 20
	OpFlush       = 25
	OpInit        = 26
	OpInterrupt   = 36
	OpDestroy     = 38
	OpNotifyReply = 41
	OpBatchForget = 42
	OpFallocate   = 43
)

const (
	inHeader  = int(unsafe.Sizeof(fuse.InHeader{}))
	writeIn   = int(unsafe.Sizeof(fuse.WriteIn{}))
	outHeader = 16       // struct fuse_out_header
	forever   = 1 << 30  // seconds that names and attributes are valid
	room      = 16 << 10 // of a request beside its data; the kernel wants 8 KiB
)

// A Request is what the kernel asks.
type Request struct {
	fuse.InHeader
	// Message is all of it, header first; without the data of a WRITE where
	// they are in Options.Pipe.
	Message []byte
}

// In returns q as one of go-fuse's structs, fuse.ReadIn and the like. Where q
// is shorter, the rest is zero.
func In[T any](q *Request) T {
	var in T
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&in)), unsafe.Sizeof(in)), q.Message)
	return in
}

// Data is what follows the WRITE.
func (q *Request) Data() []byte { return q.Message[min(writeIn, len(q.Message)):] }

// serve answers until the connection ends, on a thread of its own.
func (s *Server) serve() {
	defer close(s.done)
	runtime.LockOSThread()
	for {
		q, err := s.fetch()
		switch err {
		case nil:
		case unix.EINTR, unix.EAGAIN, unix.ENOENT:
			continue
		case unix.ENODEV, unix.ECONNABORTED, unix.EPERM:
			return
		default:
			s.t.Errorf("server: %v", err)
			return
		}
		if q.Opcode != OpInit && s.o.Handle != nil && s.o.Handle(s, q) {
			continue
		}
		s.Answer(q)
	}
}

// fetch waits for the next request.
func (s *Server) fetch() (*Request, error) {
	buf := make([]byte, MaxWrite+room)
	var n int
	var err error
	if s.o.Pipe != [2]int{} {
		n, err = s.fetchThroughPipe(buf)
	} else {
		n, err = unix.Read(s.dev, buf)
	}
	if err != nil {
		return nil, err
	}
	if n < inHeader {
		return nil, unix.ENODEV
	}
	q := &Request{Message: buf[:n]}
	q.InHeader = In[fuse.InHeader](q)
	return q, nil
}

// fetchThroughPipe takes a request out of the pipe, but for a WRITE's data.
func (s *Server) fetchThroughPipe(buf []byte) (int, error) {
	n, err := unix.Splice(s.dev, nil, s.o.Pipe[1], nil, len(buf), 0)
	if err != nil {
		return 0, err
	}
	if _, err := unix.Read(s.o.Pipe[0], buf[:inHeader]); err != nil {
		return 0, err
	}
	q := Request{Message: buf[:inHeader]}
	size := int(n)
	if In[fuse.InHeader](&q).Opcode == OpWrite {
		size = writeIn
	}
	for at := inHeader; at < size; {
		k, err := unix.Read(s.o.Pipe[0], buf[at:size])
		if err != nil {
			return 0, err
		}
		at += k
	}
	return size, nil
}

// Answer answers q as an ordinary server does.
func (s *Server) Answer(q *Request) {
	var err error
	switch q.Opcode {
	case OpForget, OpBatchForget, OpInterrupt, OpNotifyReply:
		return
	case OpInit:
		err = s.ReplyStruct(q, s.init(In[fuse.InitIn](q)))
	case OpLookup:
		err = s.lookup(q)
	case OpGetattr:
		err = s.ReplyStruct(q, s.attrOut(q.NodeId))
	case OpSetattr:
		err = s.setattr(q)
	case OpOpen:
		err = s.ReplyStruct(q, fuse.OpenOut{OpenFlags: s.o.Open})
	case OpRead:
		in := In[fuse.ReadIn](q)
		err = s.Reply(q.Unique, 0, s.Contents(q.NodeId, int64(in.Offset), int(in.Size)))
	case OpWrite:
		in := In[fuse.WriteIn](q)
		s.store(q.NodeId, int64(in.Offset), q.Data())
		err = s.ReplyStruct(q, fuse.WriteOut{Size: in.Size})
	case OpFallocate:
		in := In[fuse.FallocateIn](q)
		s.resize(q.NodeId, int64(in.Offset+in.Length), false)
		err = s.Reply(q.Unique, 0, nil)
	case OpStatfs:
		err = s.ReplyStruct(q, fuse.StatfsOut{})
	case OpRelease, OpFlush, OpFsync, OpDestroy:
		err = s.Reply(q.Unique, 0, nil)
	default:
		err = s.Reply(q.Unique, unix.ENOSYS, nil)
	}
	if err != nil && err != unix.ENOENT && err != unix.ENODEV { // those: its process, or the mount, is gone
		s.t.Errorf("answer to opcode %d: %v", q.Opcode, err)
	}
}

// ReplyStruct answers q with one of go-fuse's structs.
func (s *Server) ReplyStruct(q *Request, out any) error {
	b, err := binary.Append(nil, binary.NativeEndian, out)
	if err != nil {
		return err
	}
	return s.Reply(q.Unique, 0, b)
}

// Reply answers a request with an error number or with data. Its error is what
// the kernel says to that.
func (s *Server) Reply(unique uint64, errno unix.Errno, data []byte) error {
	_, err := unix.Write(s.dev, append(OutHeader(unique, errno, len(data)), data...))
	return err
}

// OutHeader is struct fuse_out_header of an answer with size bytes behind it.
func OutHeader(unique uint64, errno unix.Errno, size int) []byte {
	b := binary.NativeEndian.AppendUint32(make([]byte, 0, outHeader), uint32(outHeader+size))
	b = binary.NativeEndian.AppendUint32(b, uint32(-int32(errno)))
	return binary.NativeEndian.AppendUint64(b, unique)
}

// Notify tells the kernel something unasked: code is one of fuse.NOTIFY_…, out
// the struct that belongs to it. Its error is what the kernel says to that.
func (s *Server) Notify(code int32, out any, data []byte) error {
	b, err := binary.Append(nil, binary.NativeEndian, out)
	if err != nil {
		return err
	}
	b = append(b, data...)
	_, err = unix.Write(s.dev, append(OutHeader(0, unix.Errno(code), len(b)), b...))
	return err
}

// init makes the answer to INIT.
func (s *Server) init(in fuse.InitIn) fuse.InitOut {
	flags := s.o.Init
	if s.o.Init>>32 != 0 {
		flags |= fuse.CAP_INIT_EXT
	}
	flags &= uint64(in.Flags) | uint64(in.Flags2)<<32
	return fuse.InitOut{
		Major: 7, Minor: 36, MaxReadAhead: in.MaxReadAhead, MaxWrite: MaxWrite,
		Flags: uint32(flags), Flags2: uint32(flags >> 32),
	}
}
