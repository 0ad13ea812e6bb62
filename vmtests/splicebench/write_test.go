package splicebench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/counter"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMain runs the tests, or the server that one of them has started.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) {
		return
	}
	fmt.Print(counter.Directions("app-", "srv-"))
	m.Run()
}

const (
	size     = 4 << 20
	pipeSize = 1 << 20
	disk     = "/dev/vda"
)

// A writing is one way to write.
type writing struct{ from, to, via string }

func (w writing) String() string { return fmt.Sprintf("from=%s/to=%s/via=%s", w.from, w.to, w.via) }

func writings() []writing {
	var all []writing
	for _, to := range []string{"tmpfs", "ext4", "odirect"} {
		for _, via := range []string{"file", "fuse", "fuse-direct"} {
			for _, from := range []string{"cache", "user"} {
				all = append(all, writing{from, to, via})
			}
		}
	}
	return all
}

// TestSplicedWritesAreExact writes in every way, compares what is in the file
// with what was meant, and has the server tell that it took nothing else.
func TestSplicedWritesAreExact(t *testing.T) {
	guest.Need(t)
	dirs := folders(t)
	for i, w := range writings() {
		if testing.Short() && w.to == "ext4" {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			p := pattern.Pattern{Seed: 3, File: uint64(i)}
			x := w.start(t, dirs, p)
			defer x.close()
			before := x.served()
			x.write(t)
			if got := x.served() - before; x.srv != nil && got != size {
				t.Errorf("the server brought %d bytes to the file by splice, want %d", got, size)
			}
			data, err := os.ReadFile(x.low)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) != size {
				t.Fatalf("%d bytes in the file, want %d", len(data), size)
			}
			if err := p.Check(data, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// BenchmarkWrite writes a file once an iteration.
func BenchmarkWrite(b *testing.B) {
	guest.Need(b)
	dirs, copied := folders(b), counter.NewCopied(b)
	for _, w := range writings() {
		b.Run(w.String(), func(b *testing.B) {
			x := w.start(b, dirs, pattern.Pattern{Seed: 3})
			defer x.close()
			x.write(b)
			if copied != nil {
				reportCopied(b, copied, func() { x.write(b) })
				return
			}
			var app, srv []time.Duration
			for b.Loop() {
				a, s := x.cpu(b)
				x.write(b)
				a2, s2 := x.cpu(b)
				app, srv = append(app, a2-a), append(srv, s2-s)
			}
			b.StopTimer()
			cost := counter.NewCost(b, size)
			cost.Report(b, "app-", middle(app))
			if x.srv != nil {
				cost.Report(b, "srv-", middle(srv))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// reportCopied does something with size bytes and reports how often they are
// copied; see package readbench.
func reportCopied(b *testing.B, copied *counter.Copied, do func()) {
	b.Helper()
	var n uint64
	for b.Loop() {
		copied.Start(b)
		do()
		n = copied.Stop(b)
	}
	b.ReportMetric(float64(n)/size, "copied-B/B")
	b.ReportMetric(0, "ns/op")
}

// folders are where files can lie.
func folders(t testing.TB) map[string]string {
	t.Helper()
	memory := t.TempDir()
	var ext4 *readtest.Disk
	if _, err := os.Stat(disk); err == nil {
		ext4 = readtest.Ext4On(t, disk)
	} else {
		ext4 = readtest.Ext4(t)
	}
	return map[string]string{"tmpfs": memory, "ext4": ext4.Dir, "odirect": ext4.Dir}
}

// A writer writes one file over and over.
type writer struct {
	writing
	low   string
	dst   *os.File
	src   *os.File // from cache
	buf   []byte   // from user
	pipe  [2]int
	srv   *readtest.Mounted
	close func()
}

// start opens all that w needs to write p's bytes.
func (w writing) start(t testing.TB, dirs map[string]string, p pattern.Pattern) *writer {
	t.Helper()
	dir := filepath.Join(dirs[w.to], "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	x := &writer{writing: w, low: filepath.Join(dir, "f"), buf: pages(size)}
	_, _ = p.ReadAt(x.buf, 0) // never fails
	if err := os.WriteFile(x.low, bytes.Repeat([]byte{0xee}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	name, flags := x.low, os.O_WRONLY
	if w.via != "file" {
		srv := readtest.Start(t, readtest.Serving{
			Path: copyPath(t), Dir: dir, MaxRead: fusesrv.MaxRead, SpliceWrites: true, DirectTarget: w.to == "odirect",
		})
		x.srv, name = &srv, filepath.Join(srv.Dir(), "f")
	}
	if w.via == "fuse-direct" || w.via == "file" && w.to == "odirect" {
		flags |= unix.O_DIRECT
	}
	x.dst = open(t, name, flags)
	x.src = open(t, filepath.Join(dirs["tmpfs"], "src"), os.O_RDWR|os.O_CREATE)
	if _, err := x.src.WriteAt(x.buf, 0); err != nil {
		t.Fatal(err)
	}
	x.pipe = newPipe(t)
	x.close = func() { _, _ = x.dst.Close(), x.src.Close() }
	return x
}

// copyPath is a read path that has nothing to do with writing.
func copyPath(t testing.TB) fusesrv.Path {
	t.Helper()
	for _, p := range fusesrv.Paths() {
		if p.Name == "copy" {
			return p
		}
	}
	t.Fatal("no path copy")
	return fusesrv.Path{}
}

// write writes the whole file.
func (x *writer) write(t testing.TB) {
	t.Helper()
	for in, out := int64(0), int64(0); out < size; {
		n := x.fill(t, &in)
		for n > 0 {
			m := splice(t, x.pipe[0], nil, int(x.dst.Fd()), &out, n)
			n -= m
		}
	}
}

// fill brings what comes at off into the pipe.
func (x *writer) fill(t testing.TB, off *int64) int {
	t.Helper()
	if x.from == "cache" {
		return splice(t, int(x.src.Fd()), off, x.pipe[1], nil, pipeSize)
	}
	n := vmsplice(t, x.pipe[1], x.buf[*off:min(int(*off)+pipeSize, size)])
	*off += int64(n)
	return n
}

// served is how many bytes the server says to have written.
func (x *writer) served() uint64 {
	if x.srv == nil {
		return 0
	}
	return x.srv.Stats().Written
}

// cpu is the CPU time that writer and server have used.
func (x *writer) cpu(t testing.TB) (app, srv time.Duration) {
	t.Helper()
	if x.srv != nil {
		srv = counter.CPU(t, x.srv.PID())
	}
	return counter.CPU(t, os.Getpid()), srv
}

func open(t testing.TB, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pages returns n bytes that start on a page.
func pages(n int) []byte {
	page := os.Getpagesize()
	room := make([]byte, n+page)
	return room[-uintptr(unsafe.Pointer(&room[0]))%uintptr(page):][:n]
}
