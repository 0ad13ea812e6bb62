package fusesrv

import (
	"errors"
	"syscall"
	"unsafe"
)

// copyPath is what every FUSE server can do: bring the bytes into memory of
// the server with pread, hand them to the device with writev. Each byte is
// copied twice.
func copyPath() Path {
	return Path{Name: "copy", open: openCopy}
}

// A copier is one worker's memory for the copy path.
type copier struct {
	header [replyHeaderSize]byte
	data   []byte // room for the largest READ and what surrounds it in directUnits
	got    []byte // of it, what the READ at hand is answered with
}

func openCopy(_ conn, maxRead int) (answerer, error) {
	return newCopier(maxRead), nil
}

func newCopier(maxRead int) *copier {
	room := make([]byte, maxRead+3*directUnit)
	skip := -uintptr(unsafe.Pointer(&room[0])) % directUnit
	return &copier{data: room[skip : int(skip)+maxRead+2*directUnit]}
}

func (c *copier) answer(r *read) error {
	data, err := c.fetch(r)
	if err != nil {
		return r.fail(errnoOf(err))
	}
	r.count.copied.Add(uint64(len(data)))
	r.step(StepFilled)
	c.got = data
	return r.reply(len(data), c)
}

func (c *copier) reply(r *read, unique uint64, n int) error {
	putReplyHeader(c.header[:], unique, 0, n)
	return r.send(c.header[:], c.got[:n])
}

// fetch returns the bytes of r. For a direct read those are in the middle of
// what is read.
func (c *copier) fetch(r *read) ([]byte, error) {
	if !r.direct {
		n, err := r.readAt(c.data[:r.size], r.off)
		return c.data[:n], err
	}
	before := int(r.off % directUnit)
	around := (before + r.size + directUnit - 1) / directUnit * directUnit
	n, err := r.readAt(c.data[:around], r.off-int64(before))
	if err != nil {
		return nil, err
	}
	n = min(max(n, before), before+r.size)
	return c.data[before:n], nil
}

func (c *copier) close() {}

// errnoOf returns the error number in err, EIO when there is none.
func errnoOf(err error) syscall.Errno {
	var no syscall.Errno
	if errors.As(err, &no) && no != 0 {
		return no
	}
	return syscall.EIO
}
