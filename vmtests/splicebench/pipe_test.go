package splicebench

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/counter"
	"github.com/runvm/runvm/vmtests/guest"
)

// BenchmarkPipe moves size bytes through pipes once an iteration, in pieces of
// 4 KiB and of the pipe's size.
func BenchmarkPipe(b *testing.B) {
	guest.Need(b)
	m := newMover(b)
	copied := counter.NewCopied(b)
	for _, piece := range []int{4 << 10, 64 << 10, pipeSize} {
		for _, op := range m.operations() {
			b.Run("op="+op.name+"/size="+kib(piece), func(b *testing.B) {
				all := func() {
					for done := 0; done < size; done += piece {
						op.do(b, piece)
					}
				}
				all()
				if copied != nil {
					reportCopied(b, copied, all)
					return
				}
				var app []time.Duration
				for b.Loop() {
					begin := counter.CPU(b, os.Getpid())
					all()
					app = append(app, counter.CPU(b, os.Getpid())-begin)
				}
				b.StopTimer()
				counter.NewCost(b, size).Report(b, "app-", middle(app))
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func kib(n int) string {
	return map[int]string{4 << 10: "4KiB", 64 << 10: "64KiB", pipeSize: "1024KiB"}[n]
}

// middle is the median.
func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// A mover has what bytes are moved between.
type mover struct {
	pipe, other [2]int
	file, null  *os.File
	buf         []byte
}

func newMover(b *testing.B) *mover {
	b.Helper()
	m := &mover{pipe: newPipe(b), other: newPipe(b), buf: pages(pipeSize)}
	m.file = open(b, filepath.Join(b.TempDir(), "f"), os.O_RDWR|os.O_CREATE)
	m.null = open(b, os.DevNull, os.O_WRONLY)
	b.Cleanup(func() { _, _ = m.file.Close(), m.null.Close() })
	if _, err := m.file.WriteAt(m.buf, 0); err != nil {
		b.Fatal(err)
	}
	return m
}

// An operation moves piece bytes, which fit into a pipe.
type operation struct {
	name string
	do   func(b *testing.B, piece int)
}

func (m *mover) operations() []operation {
	return []operation{
		{"write-read", func(b *testing.B, piece int) {
			m.transfer(b, unix.SYS_WRITE, m.pipe[1], piece)
			m.transfer(b, unix.SYS_READ, m.pipe[0], piece)
		}},
		{"splice-read", func(b *testing.B, piece int) {
			off := int64(0)
			for n := 0; n < piece; {
				n += splice(b, int(m.file.Fd()), &off, m.pipe[1], nil, piece-n)
			}
			m.transfer(b, unix.SYS_READ, m.pipe[0], piece)
		}},
		{"vmsplice-splice", func(b *testing.B, piece int) {
			for n := 0; n < piece; {
				n += vmsplice(b, m.pipe[1], m.buf[n:piece])
			}
			m.drain(b, m.pipe[0], piece)
		}},
		{"tee-splice", func(b *testing.B, piece int) {
			m.transfer(b, unix.SYS_WRITE, m.pipe[1], piece)
			n, err := unix.Tee(m.pipe[0], m.other[1], piece, 0)
			if err != nil || int(n) != piece {
				b.Fatalf("tee of %d bytes: %d, %v", piece, n, err)
			}
			m.drain(b, m.pipe[0], piece)
			m.drain(b, m.other[0], piece)
		}},
		{"splice-pipes", func(b *testing.B, piece int) {
			m.transfer(b, unix.SYS_WRITE, m.pipe[1], piece)
			for n := 0; n < piece; {
				n += splice(b, m.pipe[0], nil, m.other[1], nil, piece-n)
			}
			m.drain(b, m.other[0], piece)
		}},
	}
}

// transfer is read(2) or write(2) of the first piece bytes of the buffer.
func (m *mover) transfer(b *testing.B, call uintptr, fd, piece int) {
	for done := 0; done < piece; {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&m.buf[done])), uintptr(piece-done))
		if errno != 0 || n == 0 {
			b.Fatalf("%d bytes of %d: %d, %v", done, piece, n, errno)
		}
		done += int(n)
	}
}

// drain sends what is in a pipe nowhere.
func (m *mover) drain(b *testing.B, fd, piece int) {
	for n := 0; n < piece; {
		n += splice(b, fd, nil, int(m.null.Fd()), nil, piece-n)
	}
}

// newPipe has room for pipeSize bytes.
func newPipe(t testing.TB) [2]int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		t.Fatalf("pipe of %d bytes: %v", pipeSize, err)
	}
	return p
}

// splice is splice(2), of which something has to come. The Go runtime is not
// told of it: see package readbench.
func splice(t testing.TB, from int, fromOff *int64, to int, toOff *int64, n int) int {
	for {
		done, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), uintptr(unsafe.Pointer(fromOff)),
			uintptr(to), uintptr(unsafe.Pointer(toOff)), uintptr(n), unix.SPLICE_F_MOVE)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || done == 0 {
			t.Fatalf("splice of %d bytes: %d, %v", n, done, errno)
		}
		return int(done)
	}
}

// vmsplice is vmsplice(2) of b, of which something has to go.
func vmsplice(t testing.TB, to int, b []byte) int {
	area := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
	for {
		done, _, errno := unix.RawSyscall6(unix.SYS_VMSPLICE, uintptr(to), uintptr(unsafe.Pointer(&area)), 1, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || done == 0 {
			t.Fatalf("vmsplice of %d bytes: %d, %v", len(b), done, errno)
		}
		return int(done)
	}
}
