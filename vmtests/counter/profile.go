package counter

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// samplePeriod is how often a Profile looks: the least that the kernel's cpu-clock event takes
	// (perf_swevent_start_hrtimer() in kernel/events/core.c).
	samplePeriod = 10 * time.Microsecond

	ringPages = 256 // a power of two: `man 2 perf_event_open`

	sampleSize = 24 // header, instruction pointer, process and thread
)

// A Profile finds out where processes spend their CPU time, by looking at what
// the first CPU does each 10 µs: every 2,500th instruction of a deterministic
// guest. What runs with interrupts disabled shows where they are enabled again.
type Profile struct {
	fd      int
	ring    []byte
	page    int
	seen    map[sample]int
	symbols symbols
}

// A sample is a thread of a process at an address.
type sample struct {
	pid, tid int
	addr     uint64
}

// A Share is a part of a process' CPU time.
type Share struct {
	Function string
	Samples  int
}

// NewProfile returns a profile that has not begun yet.
func NewProfile(t testing.TB) *Profile {
	t.Helper()
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Config:      unix.PERF_COUNT_SW_CPU_CLOCK,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample:      uint64(samplePeriod),
		Sample_type: unix.PERF_SAMPLE_IP | unix.PERF_SAMPLE_TID,
		Bits:        unix.PerfBitDisabled,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatalf("perf_event_open: %v", err)
	}
	p := &Profile{fd: fd, page: os.Getpagesize(), seen: map[sample]int{}, symbols: kernelSymbols(t)}
	p.ring, err = unix.Mmap(fd, 0, (1+ringPages)*p.page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("ring of perf_event_open: %v", err)
	}
	t.Cleanup(func() { _, _ = unix.Munmap(p.ring), unix.Close(fd) })
	return p
}

// Start begins to look, or goes on.
func (p *Profile) Start(t testing.TB) { p.control(t, unix.PERF_EVENT_IOC_ENABLE) }

// Stop ends that, and adds what has been seen.
func (p *Profile) Stop(t testing.TB) {
	t.Helper()
	p.control(t, unix.PERF_EVENT_IOC_DISABLE)
	p.drain(t)
}

func (p *Profile) control(t testing.TB, request uint) {
	t.Helper()
	if err := unix.IoctlSetInt(p.fd, request, 0); err != nil {
		t.Fatalf("perf event: %v", err)
	}
}

// drain reads the ring, which nobody writes to.
func (p *Profile) drain(t testing.TB) {
	t.Helper()
	head := (*unix.PerfEventMmapPage)(unsafe.Pointer(&p.ring[0]))
	data, end := p.ring[p.page:], atomic.LoadUint64(&head.Data_head)
	at := func(pos uint64, size int) []byte { // a record may go on at the ring's start
		b := make([]byte, size)
		n := copy(b, data[pos%uint64(len(data)):])
		copy(b[n:], data)
		return b
	}
	for pos := head.Data_tail; pos < end; {
		header := at(pos, 8)
		size := uint64(binary.NativeEndian.Uint16(header[6:]))
		switch kind := binary.NativeEndian.Uint32(header); {
		case kind == unix.PERF_RECORD_LOST:
			t.Fatalf("perf event: samples were lost: the ring is too small")
		case kind == unix.PERF_RECORD_SAMPLE && size == sampleSize:
			p.add(at(pos+8, sampleSize-8))
		case size == 0:
			t.Fatalf("perf event: a record without a size")
		}
		pos += size
	}
	atomic.StoreUint64(&head.Data_tail, end)
}

func (p *Profile) add(b []byte) {
	order := binary.NativeEndian
	p.seen[sample{int(order.Uint32(b[8:])), int(order.Uint32(b[12:])), order.Uint64(b)}]++
}

// Of returns where a process was seen, where most often first, without the Go
// runtime's monitor. Its own functions have names if it runs the same program as the
// caller.
func (p *Profile) Of(t testing.TB, pid int) []Share {
	t.Helper()
	by, monitor := map[string]int{}, guest.Monitor(t, pid)
	for s, n := range p.seen {
		if s.pid == pid && s.tid != monitor {
			by[p.symbols.name(s.addr)] += n
		}
	}
	var all []Share
	for name, n := range by {
		all = append(all, Share{name, n})
	}
	slices.SortFunc(all, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Samples, a.Samples), strings.Compare(a.Function, b.Function))
	})
	return all
}

// symbols are functions of the kernel, by their addresses.
type symbols struct {
	addrs []uint64
	names []string
}

func kernelSymbols(t testing.TB) symbols {
	t.Helper()
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	type symbol struct {
		addr uint64
		name string
	}
	var all []symbol
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 3 || !strings.ContainsAny(f[1], "tTwW") {
			continue
		}
		addr, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil {
			t.Fatalf("/proc/kallsyms: %q", lines.Text())
		}
		all = append(all, symbol{addr, f[2]})
	}
	slices.SortStableFunc(all, func(a, b symbol) int { return cmp.Compare(a.addr, b.addr) })
	var s symbols
	for _, x := range all {
		s.addrs, s.names = append(s.addrs, x.addr), append(s.names, x.name)
	}
	return s
}

// name is the function at addr, in the kernel or this program.
func (s symbols) name(addr uint64) string {
	if addr <= math.MaxInt64 { // the lower half is user space's
		if f := runtime.FuncForPC(uintptr(addr)); f != nil {
			return f.Name()
		}
		return "user space"
	}
	i, exact := slices.BinarySearch(s.addrs, addr)
	if !exact {
		i--
	}
	if i < 0 {
		return fmt.Sprintf("%#x", addr)
	}
	return s.names[i]
}
