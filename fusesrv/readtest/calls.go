package readtest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callsPerRead are the calls of the table of package fusesrv, by path.
func callsPerRead() map[string]uint64 {
	return map[string]uint64{
		"copy": 3, "splice": 4, "splice-move": 4,
		"rsplice-pipe": 4, "rsplice-fill": 3, "rsplice-direct": 2,
		"io_uring": 2, "io_uring-zc": 1,
	}
}

// callsAreCounted proves that the server makes as many system calls for READs as
// it says, and no others: ptrace(2) counts.
func callsAreCounted(t *testing.T, c config) {
	const size = 4 << 20
	c.Workers = 1
	m := start(t, c, makeFile("first", 1, size), makeFile("counted", 2, size))
	readAll(t, m.open("first"), size) // after which all is set up
	f := m.open("counted")
	before := m.stats()
	var data []byte
	calls, interrupted := countCalls(t, m.cmd.Process.Pid, func() { data = readAll(t, f, size) })
	same(t, makeFile("counted", 2, size).Of, data, 0)
	after := m.stats()
	var sum uint64
	for _, n := range calls {
		sum += n
	}
	n, reads := after.Calls-before.Calls, after.Reads-before.Reads
	if n != sum || reads == 0 || n-interrupted != reads*callsPerRead()[c.Path] {
		t.Errorf("%d READs: the server says that it made %d calls, the kernel saw %d, by number: %v; want %d for each",
			reads, n, sum, calls, callsPerRead()[c.Path])
	}
}

// ofRuntime are the system calls that the Go runtime makes when it likes: to
// schedule goroutines, and for its memory.
func ofRuntime() []uint64 {
	return []uint64{
		unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_EPOLL_PWAIT, unix.SYS_FUTEX, unix.SYS_GETPID, unix.SYS_GETTID,
		unix.SYS_MADVISE, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_NANOSLEEP, unix.SYS_RESTART_SYSCALL, unix.SYS_RSEQ,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SCHED_YIELD, unix.SYS_SET_ROBUST_LIST, unix.SYS_SIGALTSTACK, unix.SYS_TGKILL,
	}
}

// A tracer counts the system calls of a process, by number, that have ended since
// it began. One thread does all of it, which is what ptrace(2) asks for; when that
// ends, so does the tracing.
type tracer struct {
	stop    chan struct{}  // closed: end as soon as the process is done
	threads map[int]uint64 // the call that each thread is in
	calls   map[uint64]uint64
	// interrupted counts calls that have ended with EINTR.
	interrupted uint64
	quiet       int // how often there was nothing new since the last call that counts
}

const (
	// between is the call that a thread is in which is in none, and unknown that of
	// one which has not stopped yet: it may return from a call that began before.
	between = ^uint64(0)
	unknown = ^uint64(1)
	// pause is how long follow sleeps if there is nothing new, and settled how
	// often it has to, until a call that has its effect already has also ended.
	pause   = 100 * time.Microsecond
	settled = 200
)

// countCalls returns how often process pid has made which system call while do
// ran, without those that the runtime makes for itself, and how many of them were
// interrupted and had to be made again.
func countCalls(t *testing.T, pid int, do func()) (calls map[uint64]uint64, interrupted uint64) {
	t.Helper()
	tr := &tracer{stop: make(chan struct{}), threads: map[int]uint64{}, calls: map[uint64]uint64{}}
	begun, done := make(chan error, 1), make(chan error, 1)
	go onThread(func() {
		err := tr.begin(pid)
		begun <- err
		if err == nil {
			err = tr.count()
		}
		done <- err
	})
	if err := <-begun; err != nil {
		t.Fatalf("trace the server: %v", err)
	}
	func() {
		defer close(tr.stop)
		do()
	}()
	if err := <-done; err != nil {
		t.Fatalf("trace the server: %v", err)
	}
	return tr.calls, tr.interrupted
}

// onThread runs do on a thread that ends with it. The first of a process does not.
func onThread(do func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		do()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		onThread(do)
	}()
	<-done
}

// begin makes all threads of a process stop once, and go on with all their calls
// traced. What a thread waits for in a call must not come before it has stopped:
// the call would end, and nothing would tell.
func (tr *tracer) begin(pid int) error {
	if err := tr.seize(pid); err != nil {
		return err
	}
	return tr.follow(func() bool { return !tr.any(unknown) }, time.After(patience))
}

// count counts until the test has what it waits for and the process makes no more
// calls that count.
func (tr *tracer) count() error {
	err := tr.follow(func() bool {
		select {
		case <-tr.stop:
			return true
		default:
			return false
		}
	}, nil)
	if err != nil {
		return err
	}
	tr.quiet = 0
	return tr.follow(func() bool {
		tr.quiet++
		return tr.quiet >= settled && !tr.any(between)
	}, time.After(patience))
}

// seize makes all threads of a process stop, for which begin waits. One that is
// not traced yet may make another meanwhile.
func (tr *tracer) seize(pid int) error {
	for before := -1; before < len(tr.threads); {
		before = len(tr.threads)
		dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			tid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				return err
			}
			if err := tr.seizeThread(tid); err != nil {
				return err
			}
		}
	}
	return nil
}

// seizeThread is seize for one thread, if it is not traced already and lives.
func (tr *tracer) seizeThread(tid int) error {
	if _, known := tr.threads[tid]; known {
		return nil
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE
	switch err := ptrace(unix.PTRACE_SEIZE, tid, options); err {
	case nil:
		err = unix.PtraceInterrupt(tid)
		if err != nil && err != unix.ESRCH { // which wait4 tells, too
			return os.NewSyscallError("PTRACE_INTERRUPT", err)
		}
	case unix.ESRCH:
		return nil
	case unix.EPERM: // a thread of one that is traced is, too, and stops by itself
	default:
		return os.NewSyscallError("PTRACE_SEIZE", err)
	}
	tr.threads[tid] = unknown
	return nil
}

// follow lets threads go on that have stopped, until enough says so of a moment
// when none has.
func (tr *tracer) follow(enough func() bool, late <-chan time.Time) error {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOHANG|unix.WNOTHREAD, nil)
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if tid > 0 {
			if err := tr.stopped(tid, status); err != nil {
				return err
			}
			continue
		}
		if enough() {
			return nil
		}
		select {
		case <-late:
			return errors.New("it is not done")
		case <-time.After(pause):
		}
	}
}

// any tells whether a thread is in call.
func (tr *tracer) any(call uint64) bool {
	return slices.Contains(slices.Collect(maps.Values(tr.threads)), call)
}

// stopped takes note of what a thread has stopped for, and lets it go on.
func (tr *tracer) stopped(tid int, status unix.WaitStatus) error {
	if !status.Stopped() {
		delete(tr.threads, tid)
		return nil
	}
	if call, known := tr.threads[tid]; !known || call == unknown {
		tr.threads[tid] = between
	}
	var deliver uintptr
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP|0x80: // man 2 ptrace, PTRACE_O_TRACESYSGOOD
		if err := tr.call(tid); err != nil {
			return err
		}
	case uint32(status)>>16 == 0: // no event of ptrace's own
		deliver = uintptr(signal)
	}
	if err := ptrace(unix.PTRACE_SYSCALL, tid, deliver); err != nil && err != unix.ESRCH {
		return os.NewSyscallError("PTRACE_SYSCALL", err)
	}
	return nil
}

// call takes note of the begin or the end of a call. One that a signal has
// interrupted, and that the kernel begins again, has not ended.
func (tr *tracer) call(tid int) error {
	// struct ptrace_syscall_info of include/uapi/linux/ptrace.h
	var info struct {
		Op   uint8
		_    [3]byte
		Arch uint32
		_    [2]uint64 // instruction and stack pointer
		// Value is the number at the begin, the result at the end.
		Value uint64
		_     [7]uint64
	}
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); errno != 0 {
		return os.NewSyscallError("PTRACE_GET_SYSCALL_INFO", errno)
	}
	number := tr.threads[tid]
	tr.threads[tid] = between
	if info.Op == unix.PTRACE_SYSCALL_INFO_ENTRY {
		number = info.Value
		tr.threads[tid] = number
	}
	if number == between || slices.Contains(ofRuntime(), number) {
		return nil
	}
	tr.quiet = 0
	if info.Op == unix.PTRACE_SYSCALL_INFO_EXIT && !restarts(int64(info.Value)) {
		tr.calls[number]++
		if int64(info.Value) == -int64(unix.EINTR) {
			tr.interrupted++
		}
	}
	return nil
}

// restarts tells whether a result makes the kernel begin a call again:
// include/linux/errno.h.
func restarts(result int64) bool {
	return slices.Contains([]int64{-512, -513, -514, -516}, result)
}

// ptrace is a request whose address is not used.
func ptrace(request, tid int, data uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
