package readbench

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMain runs benchmarks, or the server that one of them has started.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) {
		return
	}
	m.Run()
}

// What a file lies on.
const (
	tmpfs   = "tmpfs"
	ext4    = "ext4"
	odirect = "odirect"
)

// readSize is what the reader asks for at once, in bytes.
const readSize = 128 << 10

// fileSize is how large the file is that is read by READs of so many bytes:
// the more of those, the smaller.
func fileSize(read int) int {
	switch {
	case read <= 4<<10:
		return 2 << 20
	case read <= 64<<10:
		return 8 << 20
	}
	return 16 << 20
}

// BenchmarkRead reads a file once an iteration.
func BenchmarkRead(b *testing.B) {
	guest.Need(b)
	data := make([]byte, fileSize(fusesrv.MaxRead))
	_, _ = pattern.Pattern{Seed: 1}.ReadAt(data, 0) // never fails
	paths := append([]fusesrv.Path{{Name: "none", InKernel: true}}, fusesrv.Paths()...)
	memory, disk := b.TempDir(), readtest.Ext4(b).Dir
	for _, backing := range []string{tmpfs, ext4, odirect} {
		for _, kib := range []int{4, 64, 1024} {
			c := cell{backing: backing, read: kib << 10, data: data[:fileSize(kib<<10)]}
			c.dir = filepath.Join(map[string]string{tmpfs: memory, ext4: disk, odirect: disk}[backing], fmt.Sprint(kib))
			c.makeFile(b)
			for _, p := range paths {
				b.Run(fmt.Sprintf("path=%s/size=%dKiB/backing=%s", p.Name, kib, backing), func(b *testing.B) {
					measure(b, c.serve(b, p))
				})
			}
		}
	}
}

// A cell is what one benchmark is about.
type cell struct {
	backing string
	read    int    // size of READs
	data    []byte // what is in the file
	dir     string // where it is
	high    string // what is read
	flags   int    // that high is opened with
	buf     []byte
	srv     *readtest.Mounted // nil without a server
}

// low is the file itself.
func (c *cell) low() string { return filepath.Join(c.dir, "f") }

// direct says that low's cache stays empty.
func (c *cell) direct() bool { return c.backing == odirect }

// makeFile writes the file, if it is not there.
func (c *cell) makeFile(b *testing.B) {
	b.Helper()
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(c.low(), c.data, 0o600); err != nil {
		b.Fatal(err)
	}
	unix.Sync()
	guest.DropCaches(b)
}

// serve mounts what p needs.
func (c cell) serve(b *testing.B, p fusesrv.Path) *cell {
	b.Helper()
	c.high, c.buf = c.low(), memory(readSize)
	if p.InKernel && c.direct() {
		c.flags = unix.O_DIRECT
	}
	if p.Name != "none" {
		srv := readtest.Start(b, readtest.Serving{
			Path: p, Dir: c.dir, MaxRead: c.read, DirectSource: c.direct() && !p.InKernel,
		})
		c.srv, c.high = &srv, filepath.Join(srv.Dir(), "f")
	}
	return &c
}

// memory returns size bytes that start on a page.
func memory(size int) []byte {
	page := os.Getpagesize()
	room := make([]byte, size+page)
	return room[-uintptr(unsafe.Pointer(&room[0]))%uintptr(page):][:size]
}

// A cost is CPU time, and time on the guest's clock.
type cost struct{ app, srv, all time.Duration }

func (a cost) sub(b cost) cost { return cost{a.app - b.app, a.srv - b.srv, a.all - b.all} }

// so returns what has been spent so far.
func (c *cell) so(b *testing.B) cost {
	b.Helper()
	s := cost{app: now(b, cpuClock(os.Getpid())), all: now(b, unix.CLOCK_MONOTONIC)}
	if c.srv != nil {
		s.srv = now(b, cpuClock(c.srv.PID()))
	}
	return s
}

// turns is how often a file is read at least: what one turn needs depends on
// where the pages lie that it gets.
const turns = 5

// measure reads the file over and over, each time with its FUSE cache empty.
func measure(b *testing.B, c *cell) {
	b.Helper()
	var cold, warm []cost
	var moved int
	c.once(b) // without being counted: memory is touched, code is there
	before := c.stats()
	b.SetBytes(int64(len(c.data)))
	for b.Loop() || len(cold) < turns {
		b.StopTimer()
		here := c.warm(b)
		f := open(b, c.high, c.flags)
		b.StartTimer()
		cold = append(cold, c.turn(b, f))
		b.StopTimer()
		warm = append(warm, c.turn(b, f))
		_ = f.Close()
		moved += here - resident(b, c.low())
		b.StartTimer()
	}
	c.report(b, median(cold), median(warm))
	c.reportServer(b, before, float64(moved)/float64(len(cold)))
}

// turn reads f once and returns what that has cost.
func (c *cell) turn(b *testing.B, f *os.File) cost {
	b.Helper()
	begin := c.so(b)
	c.readAll(b, f)
	return c.so(b).sub(begin)
}

// median is the median of each part.
func median(all []cost) cost {
	middle := func(part func(cost) time.Duration) time.Duration {
		sorted := slices.SortedFunc(slices.Values(all), func(a, b cost) int { return cmp.Compare(part(a), part(b)) })
		return part(sorted[len(sorted)/2])
	}
	return cost{
		app: middle(func(c cost) time.Duration { return c.app }),
		srv: middle(func(c cost) time.Duration { return c.srv }),
		all: middle(func(c cost) time.Duration { return c.all }),
	}
}

// once is one uncounted turn; it checks what is read.
func (c *cell) once(b *testing.B) {
	b.Helper()
	c.warm(b)
	f := open(b, c.high, c.flags)
	defer func() { _ = f.Close() }()
	for off := 0; off < len(c.data); off += len(c.buf) {
		if _, err := f.ReadAt(c.buf, int64(off)); err != nil {
			b.Fatalf("read at %d: %v", off, err)
		}
		if !bytes.Equal(c.buf, c.data[off:off+len(c.buf)]) {
			b.Fatalf("wrong bytes at %d", off)
		}
	}
}

// readAll reads f from start to end. The Go runtime is not told of the calls:
// where instructions are time, its monitor would wake up all the time to see
// whether one of them takes long.
func (c *cell) readAll(b *testing.B, f *os.File) {
	b.Helper()
	fd, buf := f.Fd(), uintptr(unsafe.Pointer(&c.buf[0]))
	for off := 0; off < len(c.data); {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, fd, buf, uintptr(len(c.buf)), uintptr(off), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			b.Fatalf("read at %d: %d bytes, %v", off, n, errno)
		}
		off += int(n)
	}
	runtime.KeepAlive(c.buf)
}

// warm brings low into its own cache, unless that is to stay empty, and
// returns how many pages are there.
func (c *cell) warm(b *testing.B) int {
	b.Helper()
	f := open(b, c.low(), 0)
	defer func() { _ = f.Close() }()
	if c.direct() {
		guest.Evict(b, f)
		return guest.ResidentPages(b, f)
	}
	if n := guest.ResidentPages(b, f); n == len(c.data)/os.Getpagesize() {
		return n
	}
	c.readAll(b, f)
	return guest.ResidentPages(b, f)
}

func resident(b *testing.B, name string) int {
	b.Helper()
	f := open(b, name, 0)
	defer func() { _ = f.Close() }()
	return guest.ResidentPages(b, f)
}

func open(b *testing.B, name string, flags int) *os.File {
	b.Helper()
	f, err := os.OpenFile(name, os.O_RDONLY|flags, 0)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (c *cell) stats() fusesrv.Stats {
	if c.srv == nil {
		return fusesrv.Stats{}
	}
	return c.srv.Stats()
}

// report turns CPU time into the unit that it is in.
func (c *cell) report(b *testing.B, cold, warm cost) {
	b.Helper()
	unit, per := "ns/KiB", float64(time.Nanosecond)
	if counts(b) {
		unit, per = "instr/KiB", float64(instruction)
	}
	kib := float64(len(c.data) >> 10)
	show := func(what string, d time.Duration) { b.ReportMetric(float64(d)/per/kib, what+"-"+unit) }
	show("app", cold.app)
	show("srv", cold.srv)
	show("extra", cold.app+cold.srv-warm.app)
	show("all", cold.all)
	b.ReportMetric(kib/1024/cold.all.Seconds(), "MiB/s")
	b.ReportMetric(0, "ns/op") // which is the setup's as well
}

// reportServer shows counters.
func (c *cell) reportServer(b *testing.B, before fusesrv.Stats, moved float64) {
	b.Helper()
	s := c.stats()
	reads := s.Reads - before.Reads
	if reads == 0 {
		return
	}
	b.ReportMetric(float64(s.Calls-before.Calls)/float64(reads), "calls/READ")
	b.ReportMetric(float64(s.ReadBytes-before.ReadBytes)/float64(reads), "B/READ")
	b.ReportMetric(moved/float64(len(c.data)>>20), "moved/MiB")
}
