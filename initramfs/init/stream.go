package main

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

// An output is what a program writes to, and the way of that to the host.
type output struct {
	files []int // the program's descriptors 0, 1 and 2
	pipes []pipe
	queue *queue
}

// A pipe is PID 1's end of what the program writes to.
type pipe struct {
	fd     int
	stream int
}

// openOutput opens t's terminal or its pipes. A Go test gets one pipe for
// both of its streams, as under `go test`, so that they stay in order.
func openOutput(t *wire.Test) (*output, error) {
	o := &output{queue: newQueue()}
	if t.TTY != "" {
		return o, o.openTTY(t)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	o.files = append(o.files, null)
	for stream := 1; stream <= 2; stream++ {
		if t.Marks && stream == 2 {
			o.files = append(o.files, o.files[1])
			break
		}
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		o.pipes = append(o.pipes, pipe{fds[0], stream})
		o.files = append(o.files, fds[1])
	}
	return o, nil
}

func (o *output) openTTY(t *wire.Test) error {
	tty, err := unix.Open("/dev/"+t.TTY, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open terminal %s: %w", t.TTY, err)
	}
	o.files = []int{tty, tty, tty}
	if t.Rows == 0 || t.Cols == 0 {
		return nil
	}
	size := &unix.Winsize{Row: t.Rows, Col: t.Cols}
	if err := unix.IoctlSetWinsize(tty, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("set the size of %s: %w", t.TTY, err)
	}
	return nil
}

// closeFiles closes what belongs to the program.
func (o *output) closeFiles() {
	slices.Sort(o.files)
	for _, fd := range slices.Compact(o.files) {
		_ = unix.Close(fd)
	}
}

// closePipes closes what nobody will write to.
func (o *output) closePipes() {
	for _, p := range o.pipes {
		_ = unix.Close(p.fd)
	}
}

// stream sends all output to the host. The channel it returns is closed when
// that is done, which is after the last writer closed its end.
func (o *output) stream(p *port, t *wire.Test, k *kernelLog) <-chan struct{} {
	var readers sync.WaitGroup
	for _, from := range o.pipes {
		readers.Go(func() {
			if t.Marks {
				read(from, o.queue, &marker{mark: k.begin})
			} else {
				read(from, o.queue, nil)
			}
		})
	}
	go func() {
		readers.Wait()
		o.queue.close()
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for c, ok := o.queue.take(); ok; c, ok = o.queue.take() {
			p.send(c.record(t.ID))
		}
	}()
	return sent
}

// read copies a pipe into the queue; m may be nil.
func read(from pipe, q *queue, m *marker) {
	defer unix.Close(from.fd)
	buf := make([]byte, wire.MaxChunk)
	for {
		n, err := unix.Read(from.fd, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		if m != nil {
			m.scan(buf[:n])
		}
		q.put(from.stream, buf[:n])
	}
}
