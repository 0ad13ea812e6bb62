// Package uringshortdirect shows that the rest of a short read or write past the
// page cache goes to the wrong place of a file, if io_uring(7) asks for it.
package uringshortdirect

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/uring"
	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// Operations of io_uring(7): include/uapi/linux/io_uring.h.
const (
	opRead  = 22
	opWrite = 23
)

// size is that of the file: two READs, or WRITEs.
const size = 2 * rawfuse.MaxWrite

// TestRestOfAShortRead has the second READ fail once. Either the read is short
// then, or the kernel reads the rest, but not the beginning once more.
func TestRestOfAShortRead(t *testing.T) {
	old := random(1)
	s, failed := failsOnce(t, rawfuse.OpRead, func(q *rawfuse.Request) uint64 { return rawfuse.In[fuse.ReadIn](q).Offset }, old)
	mem := pages(t)
	n := transfer(t, opRead, s.Open(0, unix.O_RDONLY|unix.O_DIRECT), mem)
	if !*failed || n != size && n != size/2 {
		t.Fatalf("read: %d; the second READ has failed: %t", n, *failed)
	}
	if i := differ(mem[:n], old); i >= 0 {
		t.Errorf("read %d bytes, of which byte %d is wrong", n, i)
	}
}

// TestRestOfAShortWrite is the same for WRITE.
func TestRestOfAShortWrite(t *testing.T) {
	old, data := random(1), random(2)
	s, failed := failsOnce(t, rawfuse.OpWrite, func(q *rawfuse.Request) uint64 { return rawfuse.In[fuse.WriteIn](q).Offset }, bytes.Clone(old))
	mem := pages(t)
	copy(mem, data)
	n := transfer(t, opWrite, s.Open(0, unix.O_WRONLY|unix.O_DIRECT), mem)
	if !*failed || n != size && n != size/2 {
		t.Fatalf("write: %d; the second WRITE has failed: %t", n, *failed)
	}
	if i := differ(s.Contents(rawfuse.Node(0), 0, size), append(data[:n:n], old[n:]...)); i >= 0 {
		t.Errorf("wrote %d bytes, after which byte %d of the file is wrong", n, i)
	}
}

// failsOnce serves a file past the page cache and answers the first request of an
// opcode that is not for the beginning of the file with EIO. There is no
// FUSE_ASYNC_DIO, with which io_uring is not told in time to ask for a rest.
func failsOnce(t *testing.T, opcode uint32, offset func(q *rawfuse.Request) uint64, file []byte) (s *rawfuse.Server, failed *bool) {
	t.Helper()
	guest.Need(t)
	failed = new(bool)
	return rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{file},
		Open:  fuse.FOPEN_DIRECT_IO,
		Handle: func(s *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode != opcode || offset(q) == 0 || *failed {
				return false
			}
			*failed = true
			return s.Reply(q.Unique, unix.EIO, nil) == nil
		},
	}), failed
}

// transfer has io_uring read or write all of mem, from the beginning of a file.
func transfer(t *testing.T, op uint8, fd int, mem []byte) int {
	t.Helper()
	runtime.LockOSThread() // whose ring it is
	defer runtime.UnlockOSThread()
	ring, err := uring.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	e := ring.Entry()
	e.Op, e.FD, e.Addr, e.Len = op, int32(fd), uint64(uintptr(unsafe.Pointer(&mem[0]))), uint32(len(mem))
	for {
		if err := ring.Enter(1); err != nil {
			t.Fatal(err)
		}
		if c, done := ring.Completion(); done {
			return int(c.Result)
		}
	}
}

// differ is where a first differs from b, or -1.
func differ(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// random is a file full of random bytes.
func random(seed uint64) []byte {
	b, rng := make([]byte, size), rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// pages is memory for the file that begins with a page.
func pages(t *testing.T) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}
