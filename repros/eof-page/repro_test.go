// Package eofpage shows that bytes beyond the end of a FUSE file become its
// content when it is extended.
package eofpage

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestExtendedFileReadsZeroes maps the last page of a file, writes behind the
// end of the file, and makes the file longer.
func TestExtendedFileReadsZeroes(t *testing.T) {
	guest.Need(t)
	const size, stale = 100, 200
	longer := 2 * int64(guest.PageSize())
	for name, extend := range map[string]func(fd int) error{
		"truncate":  func(fd int) error { return unix.Ftruncate(fd, longer) },
		"fallocate": func(fd int) error { return unix.Fallocate(fd, 0, 0, longer) },
		"write": func(fd int) error {
			_, err := unix.Pwrite(fd, []byte{1}, longer)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := rawfuse.Mount(t, rawfuse.Options{Files: [][]byte{bytes.Repeat([]byte{'d'}, size)}})
			fd := s.Open(0, unix.O_RDWR)
			mem := s.Map(fd, guest.PageSize(), unix.PROT_READ|unix.PROT_WRITE)
			s.Poke(mem[stale:], []byte("stale"))
			if err := extend(fd); err != nil {
				t.Fatalf("extend: %v", err)
			}
			b := make([]byte, guest.PageSize()-size)
			if n, err := unix.Pread(fd, b, size); n != len(b) {
				t.Fatalf("read of %d bytes at %d: %d, %v", len(b), size, n, err)
			}
			guest.Zero(t, b, size)
		})
	}
}
