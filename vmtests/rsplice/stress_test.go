package rsplice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	// stressPages is how long the file is: several READs of the largest size.
	stressPages = 200
	stressLanes = 2 // mounts at a time
)

// seedOf is the seed of a test: rsplice.seed=N, or the time.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	return guest.Seed(t, "rsplice.seed")
}

// TestStress lets servers answer in every way that is allowed, and some that are
// not, and end at any time, while readers read in every way and verify each
// byte. It takes 3 seconds, or what rsplice.stress on the kernel's command line
// says; with -short it is left out: it takes other decisions in every run.
func TestStress(t *testing.T) {
	need(t)
	if testing.Short() {
		t.Skip("takes other decisions in every run")
	}
	long, err := time.ParseDuration(guest.Parameter(t, "rsplice.stress", "3s"))
	if err != nil {
		t.Fatal(err)
	}
	seed, end := seedOf(t), time.Now().Add(long)
	var total tally
	var wait sync.WaitGroup
	for lane := range stressLanes {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(lane)))
			for round := 0; time.Now().Before(end) || total.none() && round < stressRounds; round++ {
				seed := rng.Uint64()
				t.Run(fmt.Sprintf("lane%d-round%d", lane, round), func(t *testing.T) {
					stressRound(t, seed, &total)
				})
			}
		})
	}
	wait.Wait()
	if total.seen.Good == 0 {
		t.Error("no read has succeeded: the test has shown nothing")
	}
	total.log(t)
}

// stressRounds bounds how long a lane goes on for a read that succeeds: on a slow
// kernel the first mount may end before there is one.
const stressRounds = 20

// A tally counts what has happened.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	seen   churned
}

func (c *tally) count(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	if err != nil {
		what += ": " + err.Error()
	}
	c.counts[what]++
}

// none tells whether no read has succeeded yet.
func (c *tally) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.Good == 0
}

func (c *tally) log(t *testing.T) {
	t.Logf("%d reads verified, %d bytes: %v; failed: %v; bad: %d", c.seen.Good, c.seen.Bytes, c.seen.Ways, c.seen.Errors, len(c.seen.Bad))
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%7d  %s", c.counts[what], what)
	}
}

// stressRound is the life of a mount.
func stressRound(t *testing.T, seed uint64, total *tally) {
	rng := rand.New(rand.NewPCG(seed, 0))
	// with FUSE_ASYNC_DIO nobody waits for a READ of a direct read: its end, which
	// may be put off, is a call
	async := rng.Uint64() & initAsyncDIO
	s := mountSize(t, 0, rsplice.InitFlag|async, stressPages)
	millis := 500 + rng.IntN(2500)
	var out bytes.Buffer
	reader := as("churn", fmt.Sprintf("%d %d %t %d %s", seed, millis, async != 0, s.size, s.file()))
	reader.Stdout = &out

	stop := make(chan struct{})
	clone := cloneOf(t, s)
	nonblock(t, s.device) // what poll(2) says is there, another may have read
	nonblock(t, clone)
	var workers sync.WaitGroup
	var again sync.RWMutex
	for i, device := range []int{s.device, s.device, clone} {
		w := newWorker(t, s, device, rand.New(rand.NewPCG(seed, uint64(i+1))), &again, total)
		workers.Go(func() { w.work(stop) })
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- reader.Wait() }()
	killed := endRound(t, s, rng, clone, millis, reader.Process, total)
	select {
	case err := <-done:
		if err != nil && !killed {
			t.Errorf("readers: %v", err)
		}
	case <-time.After(patience):
		t.Errorf("readers do not end")
		_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		<-done
	}
	close(stop)
	workers.Wait()
	if killed {
		return
	}
	seen := newChurned()
	if err := json.Unmarshal(out.Bytes(), &seen); err != nil {
		t.Fatalf("readers: %v: %q", err, out.String())
	}
	for _, bad := range seen.Bad {
		t.Error(bad)
	}
	total.mu.Lock()
	defer total.mu.Unlock()
	if total.seen.Errors == nil {
		total.seen = newChurned()
	}
	total.seen.add(seen)
}

// endRound ends a round in one of several ways, some of them early, and tells
// whether the readers were killed.
func endRound(t *testing.T, s *server, rng *rand.Rand, clone, millis int, reader *os.Process, total *tally) bool {
	early := time.Duration(rng.IntN(millis)) * time.Millisecond
	switch rng.IntN(5) {
	case 0:
		time.Sleep(early)
		s.abort(t)
		total.count("round ended by abort", nil)
	case 1:
		time.Sleep(early)
		_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		total.count("round ended by umount -f", nil)
	case 2:
		time.Sleep(early)
		_ = reader.Kill()
		total.count("round ended by SIGKILL of the readers", nil)
		return true
	case 3:
		time.Sleep(early)
		// what the clone has read ends; its worker goes on with a device
		// that is not mounted
		fresh, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			err = unix.Dup3(fresh, clone, unix.O_CLOEXEC)
			unix.Close(fresh)
		}
		if err != nil {
			t.Error(err)
		}
		total.count("round whose clone was closed", nil)
	default:
		total.count("round ended by itself", nil)
	}
	return false
}

// expected are the errors that a worker may meet, whatever it does.
func expected(err error) bool {
	for _, e := range []unix.Errno{unix.ENOENT, unix.ECANCELED, unix.EAGAIN, unix.EBUSY, unix.EINVAL, unix.EOPNOTSUPP,
		unix.ENODEV, unix.ENOTCONN, unix.EINTR, unix.EPERM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return err == nil
}
