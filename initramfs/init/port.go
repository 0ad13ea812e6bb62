package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

const (
	// portWait is how long the port may take to appear after boot.
	portWait = 10 * time.Second
	// stall is how long the host may read nothing. It is long because in a
	// deterministic guest idle time passes in no time.
	stall = 10 * time.Minute
	// ringSize is the number of buffers QEMU gives a virtio-serial queue.
	ringSize = 128
)

// A port is the channel to the host. Several goroutines may send on it.
type port struct {
	f *os.File
	// onLost is called, without return, when the host stopped reading.
	onLost func(error)

	mu  sync.Mutex
	buf bytes.Buffer
	enc *json.Encoder
}

// openPort waits for the virtio-serial port called name and opens it.
func openPort(name string) (*port, error) {
	path, err := findPort("/sys/class/virtio-ports", name, portWait)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join("/dev", path), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open port %s: %w", name, err)
	}
	p := &port{f: f}
	p.enc = json.NewEncoder(&p.buf)
	p.enc.SetEscapeHTML(false)
	return p, nil
}

// findPort returns the device name of the port called name below the sysfs
// class directory.
func findPort(class, name string, wait time.Duration) (string, error) {
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		found, _ := filepath.Glob(filepath.Join(class, "*", "name"))
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err == nil && strings.TrimSpace(string(text)) == name {
				return filepath.Base(filepath.Dir(path)), nil
			}
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("find port %s: not there after %v", name, wait)
		}
	}
}

// send writes one record, stamped with the time.
func (p *port) send(r *wire.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Time = monotonic()
	p.buf.Reset()
	if err := p.enc.Encode(r); err != nil {
		p.onLost(fmt.Errorf("encode a record: %w", err))
	}
	if err := p.write(p.buf.Bytes()); err != nil {
		p.onLost(err)
	}
}

func (p *port) write(b []byte) error {
	_ = p.f.SetWriteDeadline(time.Now().Add(stall))
	if _, err := p.f.Write(b); err != nil {
		return fmt.Errorf("write to the results port: %w", err)
	}
	return nil
}

// drain returns when the host has taken all that was sent. The device's queue
// is first in, first out: a whole ring of padding behind the last record has
// found room only when that record is gone from it. Without this, records
// still queued at power-off are lost when the host reads slowly.
func (p *port) drain() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range ringSize {
		if err := p.write([]byte(`{"t":"` + wire.Pad + `"}` + "\n")); err != nil {
			return err
		}
	}
	return nil
}

// monotonic is CLOCK_MONOTONIC in ns: the same clock as the kernel log's.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
