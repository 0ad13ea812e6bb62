// Package uringteardown shows that a server of FUSE over io_uring with zero
// copy may write to the memory of a reader whose connection was aborted.
package uringteardown

import (
	"bytes"
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestAbortTakesPagesBack has a server write to the pages of a direct READ
// after its connection was aborted and read(2) has returned.
func TestAbortTakesPagesBack(t *testing.T) {
	guest.Need(t)
	guest.Since(t, guest.Release{Major: 7, Minor: 3}, "zero copy of FUSE over io_uring")
	if err := os.WriteFile("/sys/module/fuse/parameters/enable_uring", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	size := guest.PageSize()
	s := rawfuse.Mount(t, rawfuse.Options{Files: [][]byte{make([]byte, size)}, Init: overRing | hasPools})
	held, write, wrote := make(chan bool, 1), make(chan bool), make(chan error, 1)
	go serve(t, s, held, write, wrote)

	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		fd, err := unix.Open(s.Path(0), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) }) // not earlier: the mount is in use until then
			_, err = unix.Pread(fd, buf, 0)
		}
		ended <- err
	}()
	if !rawfuse.Next(t, "READ", held) {
		t.Fatal("the READ is not of zero copy")
	}
	s.Abort()
	if err := rawfuse.Next(t, "end of read(2)", ended); err == nil {
		t.Error("read(2) on an aborted connection says that all is well")
	}
	mine := bytes.Repeat([]byte{'A'}, size)
	copy(buf, mine)
	close(write)
	err = rawfuse.Next(t, "end of the server's read", wrote)
	if !bytes.Equal(buf, mine) {
		t.Errorf("the server wrote %d bytes to the memory of a reader whose read(2) had ended", bytes.Count(buf, []byte{'S'}))
	}
	if err != unix.EFAULT {
		t.Errorf("a read into the pages of a request that was aborted: %v, want %v", err, unix.EFAULT)
	}
}

// serve answers what comes before a READ, says whether that is one of zero
// copy, and writes to its pages when it is told to.
func serve(t *testing.T, s *rawfuse.Server, held chan<- bool, write <-chan bool, wrote chan<- error) {
	r, err := newRing(t, s.Dev())
	if err != nil {
		t.Errorf("ring: %v", err)
		return
	}
	for {
		q, err := r.next()
		if err != nil {
			t.Errorf("next request: %v", err)
			return
		}
		switch q.Opcode {
		case rawfuse.OpLookup:
			r.answer(q, 0, s.Entry(0))
		case rawfuse.OpOpen:
			r.answer(q, 0, fuse.OpenOut{OpenFlags: openZeroCopy})
		case rawfuse.OpRead:
			held <- r.zeroCopied()
			<-write
			wrote <- r.fill(source(t, guest.PageSize()), guest.PageSize())
			return
		default:
			r.answer(q, unix.ENOSYS, nil)
		}
	}
}

// source is a file of so many bytes 'S'.
func source(t *testing.T, size int) int {
	fd, err := unix.MemfdCreate("source", unix.MFD_CLOEXEC)
	if err != nil {
		t.Error(err)
		return -1
	}
	if n, err := unix.Write(fd, bytes.Repeat([]byte{'S'}, size)); n != size {
		t.Errorf("write to a memfd: %d, %v", n, err)
	}
	return fd
}
