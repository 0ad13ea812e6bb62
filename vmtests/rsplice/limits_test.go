package rsplice

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// A server fills memory that is not its own and writes no file: the limits for
// its memory, locked memory and files do not matter. (It runs without privilege,
// too, see unprivileged.)
func TestLimitsOfTheServerDoNotMatter(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		r := s.read(t, 0, int(s.size))
		for left := int(s.size); left > 0; {
			req := s.next(t)
			withoutLimits := limit(t, unix.RLIMIT_FSIZE, unix.RLIMIT_MEMLOCK, unix.RLIMIT_RSS)
			n, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, rsplice.Nonblock)
			off := req.off
			k, fillErr := rsplice.Fill(s.pipe[0], s.sourceFD(), &off, req.size/2, rsplice.Nonblock)
			_ = withoutLimits()
			moves(t, "claim", n, err, req.size)
			moves(t, "fill", k, fillErr, req.size/2)
			s.fill(t, off, req.size-req.size/2)
			if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
				t.Errorf("reply: %v", err)
			}
			left -= req.size
		}
		r.gets(t, s, int(s.size))
	})
}

// limit sets soft limits to nothing, and returns what undoes that.
func limit(t *testing.T, resources ...int) (undo func() error) {
	t.Helper()
	before := make([]unix.Rlimit, len(resources))
	for i, resource := range resources {
		if err := unix.Getrlimit(resource, &before[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, resource := range resources {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: 0, Max: before[i].Max}); err != nil {
			t.Fatal(err)
		}
	}
	return func() (err error) {
		for i, resource := range resources {
			if e := unix.Setrlimit(resource, &before[i]); e != nil {
				err = e
			}
		}
		return err
	}
}

const (
	// spare is how much memory is left when it is scarce, in bytes.
	spare = 12 << 20
	// tooLong is the size of a file that does not fit in it, in bytes.
	tooLong = 3 * spare
)

// hog is a process that takes all memory but what is spare and holds it until its
// input ends. If somebody must be killed, let it be this one.
func hog(string) error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return err
	}
	const piece = 1 << 20
	for available() > spare {
		mem, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
		_ = mem
	}
	fmt.Println("ready")
	_, err := os.Stdin.Read(make([]byte, 1))
	if err != nil {
		return nil // its input has ended
	}
	return err
}

// available is how much memory can be had, in bytes.
func available() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var total, free, avail int
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB", &total, &free, &avail); err != nil {
		return 0
	}
	return min(free, avail) << 10
}

// While memory is scarce pages are reclaimed all the time, also between a claim
// and its fill, and around the READ's own pages. The reader reads more than there
// is memory, and every byte is right.
func TestMemoryPressure(t *testing.T) {
	if testing.Short() {
		t.Skip("takes all memory, which takes a while")
	}
	each(t, func(t *testing.T, s *server) {
		guest.DropCaches(t)
		h := as("hog", "")
		in, err := h.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := h.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close(); _ = h.Process.Kill(); _ = h.Wait() })
		// the file repeats itself: its source need not be as long
		period := s.size
		s.size = tooLong
		reader := as("periods", fmt.Sprintf("%d %d %s", period, s.size, s.file()))
		reader.Stdout = nil
		if _, err := out.Read(make([]byte, 10)); err != nil {
			t.Fatalf("hog: %v", err)
		}
		result, err := reader.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		s.beforeUnmount = append(s.beforeUnmount, func() { _ = reader.Process.Kill() })
		s.afterUnmount = append(s.afterUnmount, func() { _ = reader.Wait() })
		said := make(chan string, 1)
		go func() {
			b := make([]byte, 200)
			n, _ := result.Read(b)
			said <- string(b[:max(n, 0)])
		}()
		filled := 0
		for last := time.Now(); time.Since(last) < patience; { // it may take long, but not between two READs
			select {
			case got := <-said:
				if want := fmt.Sprintln(s.size, nil); got != want {
					t.Errorf("reader: %q, want %q", got, want)
				}
				if filled < tooLong/maxRead {
					t.Errorf("%d READs were filled: the test has shown nothing", filled)
				}
				return
			default:
			}
			req, is, err := s.handle(idleWait)
			if err != nil || !is {
				continue
			}
			s.answerPeriod(t, req, period)
			filled++
			last = time.Now()
		}
		t.Fatalf("reader: neither asks nor ends after %d READs", filled)
	})
}

// answerPeriod fills a READ of a file that repeats what is in the source.
func (s *server) answerPeriod(t *testing.T, req request, period int64) {
	t.Helper()
	s.claim(t, req)
	for done := 0; done < req.size; {
		off := (req.off + int64(done)) % period
		n := int(min(int64(req.size-done), period-off))
		k, err := rsplice.Fill(s.pipe[0], s.sourceFD(), &off, n, 0)
		if err != nil || k == 0 {
			t.Fatalf("fill of %d: %d, %v", n, k, err)
		}
		done += k
	}
	if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
		t.Errorf("reply: %v", err)
	}
}

// readPeriods is a process that reads a file that repeats itself, and prints how
// much it has verified and what went wrong.
func readPeriods(args string) error {
	var period, size int64
	var path string
	if _, err := fmt.Sscanf(args, "%d %d %s", &period, &size, &path); err != nil {
		return fmt.Errorf("periods %q: %w", args, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	want := make([]byte, period)
	_, _ = servedData().ReadAt(want, 0)
	b := make([]byte, period)
	var done int64
	for done < size {
		n, err := f.Read(b)
		if err != nil {
			fmt.Println(done, err)
			return nil
		}
		for i, c := range b[:n] {
			if c != want[(done+int64(i))%period] {
				fmt.Printf("byte %d is %#02x\n", done+int64(i), c)
				return nil
			}
		}
		done += int64(n)
	}
	fmt.Println(done, nil)
	return nil
}
