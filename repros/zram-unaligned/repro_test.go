// Package zramunaligned shows that zram takes each block of memory for a page.
package zramunaligned

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

const (
	device = "/dev/zram0"
	setup  = "/sys/block/zram0/"
	blocks = 4
	// distance is that of the buffer from the begin of a page: what queue_dma_alignment()
	// allows a driver that does not say otherwise.
	distance = 512
	beside   = 0xc5
)

// open makes a disk in memory of some pages and opens it for direct I/O.
func open(t *testing.T) int {
	t.Helper()
	guest.Need(t)
	if err := os.WriteFile(setup+"disksize", []byte("1M"), 0); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fd)
		if err := os.WriteFile(setup+"reset", []byte("1"), 0); err != nil {
			t.Error(err)
		}
	})
	return fd
}

// memory returns one page more than there are blocks, all of it the same.
func memory(t *testing.T) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, (blocks+1)*guest.PageSize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	for i := range mem {
		mem[i] = beside
	}
	return mem
}

// content is what the disk holds: no two blocks are alike.
func content() []byte {
	b := make([]byte, blocks*os.Getpagesize())
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// transfer fails the test unless do goes through all of b.
func transfer(t *testing.T, what string, do func(fd int, b []byte, off int64) (int, error), fd int, b []byte) {
	t.Helper()
	if n, err := do(fd, b, 0); n != len(b) {
		t.Fatalf("%s of %d bytes: %d, %v", what, len(b), n, err)
	}
}

func TestReadChangesItsBufferAlone(t *testing.T) {
	fd, mem, want := open(t), memory(t), content()
	aligned := memory(t)[:len(want)]
	copy(aligned, want)
	transfer(t, "aligned write", unix.Pwrite, fd, aligned)
	buffer := mem[distance : distance+len(want)]
	transfer(t, "read", unix.Pread, fd, buffer)
	changed := 0
	for _, part := range [][]byte{mem[:distance], mem[distance+len(want):]} {
		changed += len(part) - bytes.Count(part, []byte{beside})
	}
	if changed > 0 {
		t.Errorf("%d bytes beside the buffer have changed", changed)
	}
	if !bytes.Equal(buffer, want) {
		t.Error("the buffer has other bytes than the disk")
	}
}

func TestWriteTakesItsBufferAlone(t *testing.T) {
	fd, mem, want := open(t), memory(t), content()
	copy(mem[distance:], want)
	transfer(t, "write", unix.Pwrite, fd, mem[distance:distance+len(want)])
	aligned := memory(t)[:len(want)]
	transfer(t, "aligned read", unix.Pread, fd, aligned)
	if n := bytes.Count(aligned, bytes.Repeat([]byte{beside}, distance)); n > 0 {
		t.Error("the disk has got bytes from beside the buffer")
	}
	if !bytes.Equal(aligned, want) {
		t.Error("the disk has other bytes than the buffer")
	}
}
