package fusesrv

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/uring"
)

func TestPossibleCPUsAreCounted(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]int{"0\n": 1, "0-1\n": 2, "0-3,8": 5, "0-63": 64, "2": 1} {
		if got, err := possible(list); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "\n", "-", "3-1", "0,", "a", "0-99999999", "-1"} {
		if got, err := possible(list); err == nil || !strings.Contains(err.Error(), "no list of CPUs") {
			t.Errorf("%q: %d, %v", list, got, err)
		}
	}
}

// testConn is a conn without a ring, with a request of op bytes particular to
// its operation and payload bytes beside.
func testConn(t *testing.T, size, op, payload int) *ringConn {
	t.Helper()
	c := &ringConn{queue: &ringQueue{}, count: &counters{}, head: make([]byte, 4096), payload: make([]byte, 1000), in: make([]byte, 1200)}
	for i := range op {
		c.head[headOp+i] = 'o'
	}
	for i := range c.payload {
		c.payload[i] = 'p'
	}
	binary.NativeEndian.PutUint32(c.head, uint32(size))
	binary.NativeEndian.PutUint32(c.head[headPayload:], uint32(payload))
	binary.NativeEndian.PutUint64(c.head[headID:], 77)
	return c
}

func TestRingMessagesAreThoseOfTheDevice(t *testing.T) {
	t.Parallel()
	c := testConn(t, requestHeaderSize+16+5, 16, 5)
	msg, err := c.message()
	if want := strings.Repeat("o", 16) + "ppppp"; err != nil || string(msg[requestHeaderSize:]) != want {
		t.Errorf("%q, %v", msg, err)
	}
	if c.now != 77 || c.zeroCopy {
		t.Errorf("request %d, zero copy %v", c.now, c.zeroCopy)
	}
	for _, x := range [][2]int{{requestHeaderSize - 1, 0}, {requestHeaderSize + 129, 0}, {1300, 1200}, {50, 20}, {0, 0}, {1 << 31, 1 << 31}} {
		if msg, err := testConn(t, x[0], 0, x[1]).message(); err == nil {
			t.Errorf("request of %d bytes, %d of them payload: %d bytes", x[0], x[1], len(msg))
		}
	}
}

func TestRingCompletionsAreTold(t *testing.T) {
	t.Parallel()
	no := func(e unix.Errno) int32 { return -int32(e) }
	for _, x := range []struct {
		name    string
		done    []uring.Completion
		waiting int // before: commits
		fetched bool
		ends    error // of next, if nothing is left to wait for
	}{
		{"a request", []uring.Completion{{UserData: tagCommit}}, 1, true, nil},
		{"the end", []uring.Completion{{UserData: tagCommit, Result: no(unix.ENOTCONN)}}, 1, false, errEnded},
		{"an abort", []uring.Completion{{UserData: tagLinked, Result: no(unix.ECONNABORTED)}}, 1, false, errEnded},
		{"a broken link, told", []uring.Completion{
			{UserData: tagMove, Result: 5}, {UserData: tagLinked, Result: no(unix.ECANCELED)}}, 2, false, nil},
		{"an unknown request before the right one", []uring.Completion{
			{UserData: tagCommit, Result: no(unix.ENOENT)}, {UserData: tagCommit}}, 2, true, nil},
		{"a refused answer", []uring.Completion{{UserData: tagCommit, Result: no(unix.EINVAL)}}, 1, false, unix.EINVAL},
	} {
		c := testConn(t, 0, 0, 0)
		c.waiting = x.waiting
		for _, done := range x.done {
			c.take(done)
		}
		if c.fetched != x.fetched {
			t.Errorf("%s: fetched %v", x.name, c.fetched)
		}
		if c.waiting > 0 || c.fetched {
			continue
		}
		if err := c.over(); !errors.Is(err, x.ends) {
			t.Errorf("%s: %v, want %v", x.name, err, x.ends)
		}
		if refused := c.count.refused.Load() != 0; refused != (x.ends != errEnded) {
			t.Errorf("%s: counted as refused: %v", x.name, refused)
		}
	}
}

// What does not answer the request that is served must not touch the headers,
// which may be those of the next one by then.
func TestOnlyTheRightAnswerIsInTheHeaders(t *testing.T) {
	c := testConn(t, 0, 0, 0)
	var err error
	if c.ring, err = uring.New(ringDepth); err != nil {
		t.Skipf("no io_uring for this process: %v", err)
	}
	defer c.ring.Close()
	c.now = 77
	header := make([]byte, replyHeaderSize)
	putReplyHeader(header, 78, unix.EIO, 0)
	before := string(c.head)
	if err := c.send(header, []byte("data")); err != nil || string(c.head) != before || c.payload[0] != 'p' {
		t.Errorf("an answer to another request was placed, %v", err)
	}
	putReplyHeader(header, 77, 0, 4)
	if err := c.send(header, []byte("data")); err != nil || string(c.head[:replyHeaderSize]) != string(header) || string(c.payload[:4]) != "data" {
		t.Errorf("the right answer was not placed, %v", err)
	}
	if c.now != 0 {
		t.Error("the request is still served after its answer")
	}
	if got := binary.NativeEndian.Uint32(c.head[headPayload:]); got != 4 {
		t.Errorf("payload of %d bytes, want 4", got)
	}
}
