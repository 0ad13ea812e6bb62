package rsplice

import (
	"errors"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
)

// ignoreSIGPIPE makes a broken pipe an error alone, for descriptors of any
// number.
func ignoreSIGPIPE(t *testing.T) {
	signal.Ignore(unix.SIGPIPE)
	t.Cleanup(func() { signal.Reset(unix.SIGPIPE) })
}

// fails checks the error number of a call.
func fails(t *testing.T, what string, err error, want unix.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// moves checks the count of a call.
func moves(t *testing.T, what string, n int, err error, want int) {
	t.Helper()
	if n != want || err != nil {
		t.Errorf("%s: %d, %v; want %d", what, n, err, want)
	}
}

func fullPipe(t *testing.T) [2]int {
	t.Helper()
	p := newPipe(t)
	room, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], make([]byte, room)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFillOfAnEmptyPipeWithoutWriterEnds(t *testing.T) {
	need(t)
	s := mount(t, 0)
	p := newPipe(t)
	unix.Close(p[1])
	n, err := rsplice.Fill(p[0], int(s.source.Fd()), nil, 1, 0)
	moves(t, "fill", n, err, 0)
}
