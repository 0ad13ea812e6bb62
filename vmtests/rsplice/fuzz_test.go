package rsplice

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	fuzzThreads = 2
	fuzzCalls   = 5000  // unless told otherwise
	fuzzRound   = 50000 // calls, at most, until all is set up anew
	fuzzPipes   = 4
)

// TestFuzz makes calls with arguments that have nothing to do with one another:
// descriptors of every kind, offsets, lengths and flags, between operations of
// pipes and of a FUSE server, on requests of readers that go on meanwhile. What
// it finds is said by the kernel. It makes few calls, or as many as rsplice.fuzz
// on the kernel's command line says.
func TestFuzz(t *testing.T) {
	need(t)
	ignoreSIGPIPE(t)
	guest.CalmMonitor(t)
	calls, err := strconv.Atoi(guest.Parameter(t, "rsplice.fuzz", strconv.Itoa(fuzzCalls)))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seedOf(t), 0))
	start := time.Now()
	var total outcomes
	for round, left := 0, calls; left > 0; round++ {
		seed, now := rng.Uint64(), min(left, fuzzRound)
		t.Run(fmt.Sprintf("round%d", round), func(t *testing.T) { fuzzMount(t, seed, now, &total) })
		left -= now
	}
	for form := range forms {
		if total[form][0] == 0 {
			t.Errorf("no call of form %s has succeeded: the test has shown nothing", forms[form])
		}
	}
	t.Logf("%d calls in %.0f s", total.sum(), time.Since(start).Seconds())
	total.log(t)
}

// forms are the kinds of calls; the first is of no kind in particular.
var forms = [...]string{"any", "claim", "fill", "move", "direct", "complete"}

// outcomes count calls, by form and error number.
type outcomes [len(forms)][256]int

func (o *outcomes) add(other *outcomes) {
	for form := range o {
		for errno, n := range other[form] {
			o[form][errno] += n
		}
	}
}

func (o *outcomes) sum() (n int) {
	for form := range o {
		for _, k := range o[form] {
			n += k
		}
	}
	return n
}

func (o *outcomes) log(t *testing.T) {
	t.Helper()
	for form := range o {
		for errno, n := range o[form] {
			if n > 0 {
				t.Logf("%9d  %-6s  %s", n, forms[form], unix.ErrnoName(unix.Errno(errno)))
			}
		}
	}
}

// A fuzzer is one thread that calls.
type fuzzer struct {
	rng     *rand.Rand
	s       *server
	pipes   [][2]int
	devices []int // that have requests, or had, or never will
	others  []int // descriptors of every other kind
	pending *pending
	seen    outcomes
	buf     []byte
	device  server // one of devices, to meddle by
}

// A waiting READ is one, and the descriptor it was read from.
type waiting struct {
	request
	device int
}

// pending are the READs that wait.
type pending struct {
	mu   sync.Mutex
	reqs []waiting
}

// some is a READ that waits, or has not long ago, or by chance never has.
func (p *pending) some(rng *rand.Rand) waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reqs) == 0 {
		return waiting{request: request{unique: 2, size: 4096}}
	}
	return p.reqs[rng.IntN(len(p.reqs))]
}

// gone forgets a READ that has been answered.
func (p *pending) gone(unique uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reqs = slices.DeleteFunc(p.reqs, func(w waiting) bool { return w.unique == unique })
}

// put remembers a READ.
func (p *pending) put(req waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reqs = append(p.reqs, req)
}

// oldest forgets the READ that waits longest, and returns it to be answered, if
// more than some wait.
func (p *pending) oldest(some int) (req waiting, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reqs) <= some {
		return waiting{}, false
	}
	req = p.reqs[0]
	p.reqs = p.reqs[1:]
	return req, true
}

// fuzzMount is the life of a mount.
func fuzzMount(t *testing.T, seed uint64, calls int, total *outcomes) {
	s := mountSize(t, 0, rsplice.InitFlag, stressPages)
	nonblock(t, s.device)
	clone := cloneOf(t, s)
	nonblock(t, clone)
	p := &pending{}
	stop := make(chan struct{})
	var servers, fuzzers sync.WaitGroup
	for i, device := range []int{s.device, clone} {
		w := *s
		w.device, w.buf = device, make([]byte, len(s.buf))
		rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
		servers.Go(func() { w.serveLate(stop, p, rng) })
	}
	// it cannot verify: what the fuzzer has filled may be anything
	reader := as("churn", fmt.Sprintf("%d %d %t %d %s", seed, time.Hour.Milliseconds(), false, s.size, s.file()))
	reader.Stdout = nil
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	all := make([]*fuzzer, fuzzThreads)
	for i := range all {
		f := newFuzzer(t, s, clone, rand.New(rand.NewPCG(seed, uint64(i))), p)
		all[i] = f
		fuzzers.Go(func() {
			for n := range (calls + i) / fuzzThreads {
				f.call()
				if n%8 == 0 {
					f.meddle()
				}
				if n%32 == 0 { // let readers ask
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
	}
	fuzzers.Wait()
	for _, f := range all {
		total.add(&f.seen)
	}
	_ = reader.Process.Kill()
	_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
	_ = reader.Wait()
	close(stop)
	servers.Wait()
}

// serveLate answers READs when some others have come.
func (s *server) serveLate(stop chan struct{}, p *pending, rng *rand.Rand) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		s.openFlags = []uint32{0, keepCache, directIO}[rng.IntN(3)]
		req, is, err := s.handle(2 * time.Millisecond)
		some := 6
		if is && req.size > 0 {
			p.put(waiting{req, s.device})
		} else if err != nil && rng.IntN(4) == 0 { // nothing comes: the readers wait
			some = 0
		}
		if req, is := p.oldest(some); is {
			answer := *s
			answer.device = req.device
			_ = answer.replyData(req.request, s.sizeAt(req.request))
		}
	}
}

func newFuzzer(t *testing.T, s *server, clone int, rng *rand.Rand, p *pending) *fuzzer {
	t.Helper()
	f := &fuzzer{rng: rng, s: s, pending: p, buf: make([]byte, 8192), device: *s}
	for range fuzzPipes {
		pipe := newPipe(t)
		nonblock(t, pipe[0])
		nonblock(t, pipe[1])
		f.pipes = append(f.pipes, pipe)
	}
	unmounted := open(t, "/dev/fuse", unix.O_RDWR|unix.O_NONBLOCK)
	f.devices = []int{s.device, clone, s.device, clone, unmounted}

	fill := make([]byte, 1<<16)
	near, far := newSocket(t)
	tcpNear, tcpFar := newTCP(t)
	for _, fd := range []int{near, far, tcpNear, tcpFar} {
		nonblock(t, fd)
		_, _ = unix.Write(fd, fill)
	}
	memfd, err := unix.MemfdCreate("fuzz", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(memfd) })
	_, _ = unix.Write(memfd, fill)
	f.others = append(f.others, s.sourceFD(), near, far, tcpNear, tcpFar, memfd, s.newLoop(t, 0), s.newLoop(t, unix.O_DIRECT))
	for _, path := range []string{"/dev/zero", "/dev/null", "/dev/full", "/dev/urandom", "/proc/self/maps", "/proc/cmdline", "/", "/sys/kernel/mm"} {
		f.others = append(f.others, open(t, path, unix.O_RDONLY|unix.O_NONBLOCK))
	}
	f.others = append(f.others, open(t, os.DevNull, unix.O_WRONLY), open(t, filepath.Join(t.TempDir(), "new"), unix.O_RDWR|unix.O_CREAT))
	return addNameless(t, f)
}

// addNameless adds the descriptors that no file has.
func addNameless(t *testing.T, f *fuzzer) *fuzzer {
	t.Helper()
	add := func(fd int, err error) {
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
			f.others = append(f.others, fd)
		}
	}
	add(unix.Eventfd(7, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC))
	add(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC))
	add(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	add(unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC))
	add(unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC))
	add(unix.PidfdOpen(unix.Getpid(), 0))
	add(unix.FanotifyInit(unix.FAN_NONBLOCK|unix.FAN_CLOEXEC, unix.O_RDONLY))
	add(unix.Open("/tmp", unix.O_PATH|unix.O_CLOEXEC, 0))
	return f
}

// descriptor is one of any kind.
func (f *fuzzer) descriptor() int {
	switch f.rng.IntN(8) {
	case 0, 1, 2:
		return f.pipes[f.rng.IntN(len(f.pipes))][f.rng.IntN(2)]
	case 3, 4:
		return f.devices[f.rng.IntN(len(f.devices))]
	case 5:
		return f.s.sourceFD()
	case 6:
		return f.others[f.rng.IntN(len(f.others))]
	}
	return []int{-2, -1, 1 << 10, 1 << 20}[f.rng.IntN(4)]
}

// deviceOf is nearly always the descriptor that a READ was read from.
func (f *fuzzer) deviceOf(req waiting) int {
	if req.device > 0 && f.rng.IntN(8) > 0 {
		return req.device
	}
	return f.devices[f.rng.IntN(2)]
}

// number is one that is worth a try.
func (f *fuzzer) number() uint64 {
	page := uint64(guest.PageSize())
	edges := []uint64{0, 1, page - 1, page, page + 1, 4 * page, 1 << 17, 1<<17 + 1, 0x7ffff000, 1<<31 - 1, 1 << 31, 1<<32 - 1,
		1<<63 - 1, 1 << 63, 1<<64 - 1, uint64(f.s.size), uint64(f.s.size) - 1}
	switch f.rng.IntN(4) {
	case 0:
		return edges[f.rng.IntN(len(edges))]
	case 1:
		return f.rng.Uint64() >> f.rng.IntN(64)
	}
	return uint64(f.rng.IntN(4 * int(page)))
}

// pointer is where an offset is, or nowhere.
func (f *fuzzer) pointer(value *uint64, likely bool) uintptr {
	if !likely && f.rng.IntN(16) > 0 {
		return 0
	}
	switch f.rng.IntN(40) {
	case 0:
		return nowhere
	case 1:
		return 0
	case 2:
		return uintptr(unsafe.Pointer(value)) + 1
	}
	return uintptr(unsafe.Pointer(value))
}

// call makes one call, mostly one that could succeed.
func (f *fuzzer) call() {
	in, out := f.descriptor(), f.descriptor()
	req := f.pending.some(f.rng)
	offDst, offSrc := req.unique, f.number()
	if f.rng.IntN(2) == 0 {
		offSrc = uint64(f.rng.IntN(int(f.s.size)))
	}
	if f.rng.IntN(10) == 0 {
		offDst = f.number()
	}
	device, source := f.deviceOf(req), f.others[f.rng.IntN(len(f.others))]
	pipe, second := f.pipes[f.rng.IntN(len(f.pipes))], f.pipes[f.rng.IntN(len(f.pipes))]
	size, flags := uintptr(f.number()), 0
	if f.rng.IntN(3) == 0 {
		flags = rsplice.Nonblock
	}
	if f.rng.IntN(50) == 0 {
		flags = int(f.number())
	}
	form, dst, src := 0, in, out
	wantDst, wantSrc := f.rng.IntN(2) == 0, f.rng.IntN(2) == 0
	switch form = f.rng.IntN(len(forms)); form {
	case 1:
		dst, src, wantDst, wantSrc = device, pipe[1], true, false
	case 2:
		dst, src, wantDst = pipe[0], source, false
	case 3:
		dst, src, wantDst, wantSrc = pipe[0], second[1], false, false
	case 4:
		dst, src, wantDst = device, source, true
	case 5:
		dst, src, wantDst = device, source, true
		flags |= rsplice.FlagComplete
		if f.rng.IntN(2) == 0 {
			size = uintptr(req.size)
		}
	}
	_, err := raw(dst, f.pointer(&offDst, wantDst), src, f.pointer(&offSrc, wantSrc), size, flags)
	errno, _ := err.(unix.Errno)
	f.seen[form][min(int(errno), len(f.seen[form])-1)]++
	if (errno == unix.ENOENT || errno == 0 && forms[form] == "complete") && device == req.device && offDst == req.unique {
		f.pending.gone(req.unique)
	}
}

// meddle does something else to the same things.
func (f *fuzzer) meddle() {
	pipe, second := f.pipes[f.rng.IntN(len(f.pipes))], f.pipes[f.rng.IntN(len(f.pipes))]
	req := f.pending.some(f.rng)
	device := &f.device
	device.device = f.deviceOf(req)
	b := f.buf[:1+f.rng.IntN(len(f.buf))]
	n := len(b)
	const nb = unix.SPLICE_F_NONBLOCK
	switch f.rng.IntN(16) {
	case 0:
		_, _ = unix.Read(pipe[0], b)
	case 1:
		_, _ = unix.Write(pipe[1], b)
	case 2:
		_, _ = unix.Splice(pipe[0], nil, second[1], nil, n, nb)
	case 3:
		_, _ = unix.Tee(pipe[0], second[1], n, nb)
	case 4:
		_, _ = unix.Vmsplice(pipe[f.rng.IntN(2)], []unix.Iovec{{Base: &b[0], Len: uint64(n)}}, nb)
	case 5:
		_, _ = unix.Splice(pipe[0], nil, f.others[f.rng.IntN(len(f.others))], nil, n, nb)
	case 6:
		_, _ = unix.Splice(pipe[0], nil, device.device, nil, n, nb)
	case 7:
		_, _ = unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, 1<<f.rng.IntN(20))
	case 8:
		_, _ = unix.IoctlGetInt(pipe[0], unix.TIOCINQ)
	case 9, 10:
		_ = rsplice.Reply(device.device, req.unique, int(uint32(f.number())))
	case 11:
		_ = rsplice.Reply(device.device, req.unique, req.size)
	case 12: // not often, or there would be nothing to fill
		if f.rng.IntN(8) == 0 {
			_ = device.reply(req.unique, unix.EIO, nil)
		}
	case 13:
		f.renew()
	case 14: // not often either
		if f.rng.IntN(8) == 0 {
			_ = device.resend()
		}
	case 15:
		// does not wait, as the others would
		_ = device.notify(notifyRetrieve, nil, f.rng.Uint64(), fileID, f.number(), uint64(n))
	}
}

// renew closes a pipe with all that is in it.
func (f *fuzzer) renew() {
	p := &f.pipes[f.rng.IntN(len(f.pipes))]
	var fresh [2]int
	if unix.Pipe2(fresh[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return
	}
	for i := range fresh {
		_ = unix.Dup3(fresh[i], p[i], unix.O_CLOEXEC)
		unix.Close(fresh[i])
	}
}
