package fusesrv

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// opWrite is FUSE_WRITE; its message is a header and struct fuse_write_in, of
// writeSize bytes together, then the data.
const (
	opWrite   = 16
	writeSize = 80
)

// A splicedDevice is a device whose messages come by splice(2). What a WRITE
// carries stays in the pipe, as the pages that the kernel sent, until it is
// written to the file from there.
type splicedDevice struct {
	device
	pipe pipe
	room int // most bytes of a message
	left int // bytes of the last message that are in the pipe
}

// newSplicedDevice makes messages of up to room bytes come from d by splice(2).
func newSplicedDevice(d *device, room int) (*splicedDevice, error) {
	p, err := openPipe(room)
	if err != nil {
		return nil, err
	}
	return &splicedDevice{device: *d, pipe: p, room: room}, nil
}

func (d *splicedDevice) close() {
	d.pipe.close()
	d.device.close()
}

// next returns a message, of a WRITE only what comes before its data.
func (d *splicedDevice) next() ([]byte, error) {
	if err := d.drop(); err != nil {
		return nil, err
	}
	n, err := receive(func() (int, error) {
		n, err := unix.Splice(d.fd, nil, d.pipe[1], nil, d.room, 0)
		return int(n), err
	})
	if err != nil {
		return nil, err
	}
	d.left = n
	msg, err := d.take(d.in[:min(n, writeSize)])
	if err != nil {
		return nil, err
	}
	if q, ok := parseRequest(msg); ok && q.opcode == opWrite {
		return msg, nil
	}
	_, err = d.take(d.in[len(msg):n])
	return d.in[:n], err
}

// take reads what is in the pipe into b.
func (d *splicedDevice) take(b []byte) ([]byte, error) {
	for done := 0; done < len(b); {
		n, err := unix.Read(d.pipe[0], b[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return nil, fmt.Errorf("message of the device: %d bytes of %d, %v", done, len(b), err)
		}
		done, d.left = done+n, d.left-n
	}
	return b, nil
}

// drop forgets data that could not be written.
func (d *splicedDevice) drop() error {
	_, err := d.take(d.in[:d.left])
	return err
}

// writeTo moves size bytes of data into the file fd, as far as it takes them.
func (d *splicedDevice) writeTo(fd int, off int64, size int) (int, error) {
	for done := 0; done < size; {
		n, err := unix.Splice(d.pipe[0], nil, fd, &off, size-done, unix.SPLICE_F_MOVE)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && done > 0 || err == nil && n == 0:
			return done, nil
		case err != nil:
			return 0, err
		}
		done, d.left = done+int(n), d.left-int(n)
	}
	return size, nil
}

// write answers a WRITE whose data is in d's pipe.
func (w *worker) write(q request, d *splicedDevice) error {
	if !q.parseRead(&w.readIn, w.srv.maxRead) || int(w.readIn.Size) != d.left { // it has the same fields
		return replyError(w.conn, q.unique, unix.EINVAL)
	}
	// The file is the one that a READ of the same handle would be of.
	res, status := w.srv.raw.Read(w.never, &w.readIn, nil)
	if !status.Ok() {
		return replyError(w.conn, q.unique, syscall.Errno(status))
	}
	to, ok := res.(*source)
	if !ok || to.data != nil || to.stream != nil {
		return replyError(w.conn, q.unique, unix.EBADF)
	}
	n, err := d.writeTo(to.fd, int64(w.readIn.Offset), d.left)
	if err != nil {
		return replyError(w.conn, q.unique, errnoOf(err))
	}
	w.srv.count.written.Add(uint64(n))
	var header [replyHeaderSize]byte
	var out [8]byte // struct fuse_write_out
	putReplyHeader(header[:], q.unique, 0, len(out))
	binary.NativeEndian.PutUint32(out[:], uint32(n))
	return (&read{}).sent(w.conn.send(header[:], out[:]))
}
