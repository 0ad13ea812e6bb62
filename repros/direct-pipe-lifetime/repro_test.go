// Package directpipelifetime shows that a pipe keeps pages of a process whose
// direct write has ended: the server sees what the process writes to its memory
// from then on.
package directpipelifetime

import (
	"bytes"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/repros/rawfuse"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestPipeKeepsWhatWasWritten has a server fetch a direct WRITE into a pipe and
// answer it, then looks at the pipe after the writer has used its memory again.
func TestPipeKeepsWhatWasWritten(t *testing.T) {
	guest.Need(t)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20); err != nil {
		t.Fatal(err)
	}
	size := 2 * guest.PageSize()
	writes, looked := make(chan int, 1), make(chan bool)
	defer close(looked)
	s := rawfuse.Mount(t, rawfuse.Options{
		Files: [][]byte{make([]byte, size)}, Open: fuse.FOPEN_DIRECT_IO, Pipe: p,
		Handle: func(s *rawfuse.Server, q *rawfuse.Request) bool {
			if q.Opcode != rawfuse.OpWrite {
				return false
			}
			in := rawfuse.In[fuse.WriteIn](q)
			err := s.ReplyStruct(q, fuse.WriteOut{Size: in.Size})
			writes <- int(in.Size)
			<-looked // splice(2) holds the pipe while it waits for a request
			return err == nil
		},
	})
	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	fill(buf, 'w')
	if n, err := unix.Pwrite(s.Open(0, unix.O_WRONLY), buf, 0); n != size {
		t.Fatalf("write: %d, %v", n, err)
	}
	if n := rawfuse.Next(t, "WRITE", writes); n != size {
		t.Fatalf("WRITE of %d bytes, want %d", n, size)
	}
	fill(buf, 'S')
	got := make([]byte, size)
	for at := 0; at < size; {
		n, err := unix.Read(p[0], got[at:])
		if err != nil || n == 0 {
			t.Fatalf("read of the pipe: %d, %v", n, err)
		}
		at += n
	}
	if n := bytes.Count(got, []byte{'S'}); n > 0 {
		t.Errorf("the pipe holds %d bytes that the writer wrote to its memory after write(2) had returned", n)
	} else if n := bytes.Count(got, []byte{'w'}); n != size {
		t.Errorf("the pipe holds %d bytes of %d written", n, size)
	}
}

func fill(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}
