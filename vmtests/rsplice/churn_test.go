package rsplice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/vmtests/guest"
)

// What churn has seen, in all its threads.
type churned struct {
	Good, Bytes int            // reads, and bytes in them, that were verified
	Ways        map[string]int // reads that were verified, by how
	Errors      map[string]int // reads that failed, by error
	Bad         []string       // what must never be
}

func newChurned() churned { return churned{Ways: map[string]int{}, Errors: map[string]int{}} }

func (c *churned) add(other churned) {
	c.Good += other.Good
	c.Bytes += other.Bytes
	for e, n := range other.Errors {
		c.Errors[e] += n
	}
	for how, n := range other.Ways {
		c.Ways[how] += n
	}
	c.Bad = append(c.Bad, other.Bad...)
}

// churn is a process whose threads read a file in every way there is, verify
// what they get, and print what they have seen. Its arguments are a seed, the
// milliseconds to go on, whether READs of one direct read are under way together,
// the size of the file and its path.
func churn(args string) error {
	var seed uint64
	var millis int
	var size int64
	var path string
	var async bool
	if _, err := fmt.Sscanf(args, "%d %d %t %d %s", &seed, &millis, &async, &size, &path); err != nil {
		return fmt.Errorf("churn %q: %w", args, err)
	}
	const threads = 4
	end := time.Now().Add(time.Duration(millis) * time.Millisecond)
	all := make([]churned, threads)
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			c := churner{
				rng:  rand.New(rand.NewPCG(seed, uint64(i))),
				data: servedData(),
				size: size, path: path, async: async, seen: &all[i],
			}
			*c.seen = newChurned()
			c.run(end)
		})
	}
	wait.Wait()
	for _, other := range all[1:] {
		all[0].add(other)
	}
	return json.NewEncoder(os.Stdout).Encode(all[0])
}

// A churner is one thread of it.
type churner struct {
	rng  *rand.Rand
	data pattern.Pattern
	size int64
	path string
	// async says that nobody waits for one READ of a direct read to send the next.
	async bool
	seen  *churned
}

func (c *churner) run(end time.Time) {
	for time.Now().Before(end) {
		flags := unix.O_RDONLY | unix.O_CLOEXEC
		direct := c.rng.IntN(3) == 0
		if direct {
			flags |= unix.O_DIRECT
		}
		fd, err := unix.Open(c.path, flags, 0)
		if err != nil {
			c.failed(err)
			time.Sleep(time.Millisecond)
			continue
		}
		for range 1 + c.rng.IntN(8) {
			c.once(fd, direct)
		}
		unix.Close(fd)
	}
}

func (c *churner) failed(err error) { c.seen.Errors[err.Error()]++ }

func (c *churner) bad(format string, args ...any) {
	if len(c.seen.Bad) < 5 {
		c.seen.Bad = append(c.seen.Bad, fmt.Sprintf(format, args...))
	}
}

// once reads once, somehow, or drops what is cached.
func (c *churner) once(fd int, direct bool) {
	page := int64(guest.PageSize())
	off := c.rng.Int64N(c.size)
	n := int(1 + c.rng.Int64N(min(c.size-off, 40*page)))
	if c.rng.IntN(2) == 0 {
		off, n = off/page*page, int(max(page, int64(n)/page*page))
		n = int(min(int64(n), c.size-off))
	}
	switch kind := c.rng.IntN(8); {
	case kind == 0:
		_ = unix.Fadvise(fd, off, int64(n), unix.FADV_DONTNEED)
	case kind == 1 && !direct:
		c.mapped(fd, off/page*page)
	case kind == 2 && !direct:
		c.spliced(fd, off, n)
	case kind <= 4 && direct:
		if !c.async {
			n = min(n, maxRead) // for the rest of a short one see repros/uring-short-direct
		}
		c.pread("io_uring", uringPread, fd, off, n)
	default:
		c.pread("pread", unix.Pread, fd, off, n)
	}
}

// pread reads to memory that nobody else may write to afterwards.
func (c *churner) pread(how string, read func(fd int, b []byte, off int64) (int, error), fd int, off int64, n int) {
	b := bytes.Repeat([]byte{canary}, n)
	got, err := read(fd, b, off)
	if err != nil {
		c.failed(err)
		for i := range b {
			b[i] = canary
		}
		time.Sleep(time.Duration(c.rng.IntN(3)) * time.Millisecond)
		if !onlyCanary(b) {
			c.bad("memory was written to after %s of %d at %d had failed with %v", how, n, off, err)
		}
		return
	}
	c.verify(how, b[:got], off)
	if c.rng.IntN(4) == 0 {
		time.Sleep(time.Millisecond)
		c.verify(how+", a moment later", b[:got], off)
	}
}

func (c *churner) verify(how string, got []byte, off int64) {
	if err := c.data.Check(got, off); err != nil {
		c.bad("%s: %v", how, err)
		return
	}
	c.seen.Good++
	c.seen.Bytes += len(got)
	c.seen.Ways[how]++
}

// mapped reads a page through a mapping; a page that cannot be read faults.
func (c *churner) mapped(fd int, off int64) {
	mem, err := unix.Mmap(fd, off, guest.PageSize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		c.failed(err)
		return
	}
	defer func() { _ = unix.Munmap(mem) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b := make([]byte, len(mem))
	func() {
		defer func() {
			if fault := recover(); fault != nil {
				b = nil
			}
		}()
		copy(b, mem)
	}()
	if b == nil {
		c.seen.Errors["fault"]++
		return
	}
	c.verify("mmap", b, off)
}

// spliced reads through a pipe, which gets pages of the page cache.
func (c *churner) spliced(fd int, off int64, n int) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		c.failed(err)
		return
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	at := off
	got, err := unix.Splice(fd, &at, p[1], nil, n, unix.SPLICE_F_NONBLOCK)
	if err != nil {
		c.failed(err)
		return
	}
	b := make([]byte, got)
	for done := 0; done < len(b); {
		k, err := unix.Read(p[0], b[done:])
		if err != nil || k == 0 {
			c.failed(fmt.Errorf("pipe: %w", err))
			return
		}
		done += k
	}
	c.verify("splice", b, off)
}
