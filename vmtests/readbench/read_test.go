package readbench

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/readtest"
	"github.com/runvm/runvm/vmtests/counter"
	"github.com/runvm/runvm/vmtests/guest"
)

// TestMain runs benchmarks, or the server that one of them has started.
func TestMain(m *testing.M) {
	if readtest.Role(os.Getenv(readtest.Env), os.Stdin, os.Stdout, os.Stderr) {
		return
	}
	fmt.Print(counter.Directions("app-", "srv-", "both-", "extra-"))
	m.Run()
}

// What a file lies on.
const (
	tmpfs   = "tmpfs"
	ext4    = "ext4"
	odirect = "odirect"
)

// BenchmarkRead reads a file once an iteration. Paths come by turns, so that
// what changes while it runs does so for all of them.
func BenchmarkRead(b *testing.B) {
	guest.Need(b)
	data := contents()
	paths := append([]fusesrv.Path{{Name: "none", InKernel: true}}, fusesrv.Paths()...)
	folder := folders(b, data)
	copied := counter.NewCopied(b)
	for _, backing := range []string{tmpfs, ext4, odirect} {
		for _, kib := range sizes {
			c := cell{backing: backing, read: kib << 10, data: data[:fileSize(kib<<10)], copied: copied}
			for _, p := range paths {
				b.Run(fmt.Sprintf("path=%s/size=%dKiB/backing=%s", p.Name, kib, backing), func(b *testing.B) {
					if c.dir == "" {
						c.dir = folder(b, backing, kib)
						guest.DropCaches(b)
					}
					served := c.serve(b, p)
					for _, a := range accesses() {
						b.Run("access="+a.name, func(b *testing.B) { served.by(b, a).measure(b) })
					}
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
	copied  *counter.Copied

	high     string // what is read
	inKernel bool   // without a server
	srv      *readtest.Mounted
	monitors [2]int // of reader and server: guest.Monitor

	access access
	reader *reader
}

// low is the file itself.
func (c *cell) low() string { return filepath.Join(c.dir, "f") }

// direct says that low's cache stays empty.
func (c *cell) direct() bool { return c.backing == odirect }

// serve mounts what p needs.
func (c cell) serve(b *testing.B, p fusesrv.Path) *cell {
	b.Helper()
	c.high, c.inKernel = c.low(), p.InKernel
	if p.Name != "none" {
		srv := readtest.Start(b, readtest.Serving{
			Path: p, Dir: c.dir, MaxRead: c.read, DirectSource: c.direct() && !p.InKernel,
		})
		c.srv, c.high = &srv, filepath.Join(srv.Dir(), "f")
		c.monitors[1] = guest.Monitor(b, srv.PID())
	}
	c.monitors[0] = guest.Monitor(b, os.Getpid())
	return &c
}

// by makes a the way to read.
func (c cell) by(b *testing.B, a access) *cell {
	b.Helper()
	c.access = a
	c.reader = newReader(b, a, c.data, c.read)
	return &c
}

// open opens the file that is read.
func (c *cell) open(b *testing.B) *os.File {
	b.Helper()
	f := open(b, c.high, c.access.flags)
	if c.access.random {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

// A cost is CPU time, and time on the guest's clock.
type cost struct{ app, srv, all time.Duration }

func (a cost) sub(b cost) cost { return cost{a.app - b.app, a.srv - b.srv, a.all - b.all} }

// so returns what has been spent so far.
func (c *cell) so(b *testing.B) cost {
	b.Helper()
	s := cost{app: counter.CPU(b, os.Getpid()), all: counter.Elapsed(b)}
	if c.srv != nil {
		s.srv = counter.CPU(b, c.srv.PID())
	}
	return s
}

// monitored returns what the Go runtimes' monitors have spent of it.
func (c *cell) monitored(b *testing.B) cost {
	b.Helper()
	s := cost{app: counter.ThreadCPU(b, os.Getpid(), c.monitors[0])}
	if c.srv != nil {
		s.srv = counter.ThreadCPU(b, c.srv.PID(), c.monitors[1])
	}
	return s
}

// leastTurns is how often a file is read at least, unless readbench.turns on the
// kernel's command line says more: what one turn needs depends on where the pages
// lie that it gets, and when timers go off.
const leastTurns = 3

// measure reads the file over and over, each time with its FUSE cache empty.
func (c *cell) measure(b *testing.B) {
	b.Helper()
	var cold, warm []cost
	c.once(b) // without being counted: memory is touched, code is there
	switch {
	case c.copied != nil:
		c.reportCopies(b)
		return
	case guest.Parameter(b, "readbench.profile", "") != "":
		c.reportProfile(b)
		return
	}
	turns, err := strconv.Atoi(guest.Parameter(b, "readbench.turns", "0"))
	if err != nil {
		b.Fatalf("readbench.turns: %v", err)
	}
	before := c.stats()
	for b.Loop() || len(cold) < max(turns, leastTurns) {
		b.StopTimer()
		c.warm(b)
		f := c.open(b)
		b.StartTimer()
		cold = append(cold, c.turn(b, f, nil))
		b.StopTimer()
		warm = append(warm, c.turn(b, f, nil))
		_ = f.Close()
		b.StartTimer()
	}
	b.StopTimer()
	c.report(b, median(cold), median(warm))
	c.reportServer(b, before)
	c.reportPages(b)
}

// turn reads f once and returns what that has cost, the Go runtimes' looking after
// their threads left out: how often they do that depends on how long a disk takes.
func (c *cell) turn(b *testing.B, f *os.File, p *counter.Profile) cost {
	b.Helper()
	monitored := c.monitored(b)
	begin := c.so(b)
	if p != nil {
		p.Start(b)
	}
	c.reader.read(b, f)
	if p != nil {
		p.Stop(b)
	}
	spent := c.so(b).sub(begin)
	return spent.sub(c.monitored(b).sub(monitored))
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
	f := c.open(b)
	defer func() { _ = f.Close() }()
	c.reader.check(b, f)
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
	newReader(b, access{}, c.data, c.read).read(b, f)
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
