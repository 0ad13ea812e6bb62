package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

// payloadTick is how often PID 1 looks whether the payload is there. A guest
// that goes on from a snapshot finds it at the first look.
const payloadTick = time.Millisecond

// await tells the host that this guest waits for its payload, and takes it in.
func await(p *port) error {
	memory, err := payloadMemory("/sys/bus/pci/devices")
	if err != nil {
		return err
	}
	p.send(&wire.Record{Type: wire.Ready})
	for binary.LittleEndian.Uint32(memory) == 0 {
		time.Sleep(payloadTick)
	}
	header, archives, err := parsePayload(memory)
	if err != nil {
		return fmt.Errorf("read the payload: %w", err)
	}
	if err := errors.Join(resetClock(header.Clock), stir(header.Entropy)); err != nil {
		return err
	}
	return unpack("/", archives)
}

// payloadMemory maps the memory of the payload's device, found below the
// sysfs folder devices.
func payloadMemory(devices string) ([]byte, error) {
	found, _ := filepath.Glob(filepath.Join(devices, "*"))
	for _, dir := range found {
		if attribute(dir, "vendor") != wire.PayloadVendor || attribute(dir, "device") != wire.PayloadDevice {
			continue
		}
		f, err := os.Open(filepath.Join(dir, fmt.Sprintf("resource%d", wire.PayloadBAR)))
		if err != nil {
			return nil, fmt.Errorf("read the payload: %w", err)
		}
		defer f.Close()
		memory, err := unix.Mmap(int(f.Fd()), 0, wire.MaxPayload, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("read the payload: mmap: %w", err)
		}
		return memory, nil
	}
	return nil, errors.New("read the plan: neither a file nor a device holds one")
}

// attribute is what a file of sysfs says, "" when it says nothing.
func attribute(dir, name string) string {
	text, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(text))
}

// parsePayload returns what memory begins with.
func parsePayload(memory []byte) (header wire.Payload, archives []byte, err error) {
	n := uint64(binary.LittleEndian.Uint32(memory))
	rest := memory[4:]
	if n > uint64(len(rest)) {
		return header, nil, errors.New("its header does not end")
	}
	if err := json.Unmarshal(rest[:n], &header); err != nil {
		return header, nil, err
	}
	if header.Version != wire.Version {
		return header, nil, fmt.Errorf("version %d, this guest speaks %d", header.Version, wire.Version)
	}
	rest = rest[n:]
	if header.Size < 0 || header.Size > int64(len(rest)) {
		return header, nil, errors.New("its archives do not end")
	}
	return header, rest[:header.Size], nil
}

// resetClock sets the time of day, which stood still in the snapshot.
func resetClock(ns int64) error {
	ts := unix.NsecToTimespec(ns)
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// Requests of /dev/random, from include/uapi/linux/random.h.
const (
	rndAddEntropy = 0x40085203
	rndReseedCRNG = 0x5207
)

// maxEntropy bounds what is taken in, in bytes.
const maxEntropy = 64

// stir makes the kernel's random numbers other than those of the guests that
// went on from the same snapshot.
func stir(entropy []byte) error {
	if len(entropy) == 0 || len(entropy) > maxEntropy {
		return fmt.Errorf("stir the random numbers: %d bytes: want 1 to %d", len(entropy), maxEntropy)
	}
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("stir the random numbers: %w", err)
	}
	defer f.Close()
	pool := struct {
		bits, size int32
		data       [maxEntropy]byte
	}{bits: int32(8 * len(entropy)), size: int32(len(entropy))}
	copy(pool.data[:], entropy)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), rndAddEntropy, uintptr(unsafe.Pointer(&pool))); errno != 0 {
		return fmt.Errorf("stir the random numbers: %w", errno)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), rndReseedCRNG, 0); err != nil {
		return fmt.Errorf("stir the random numbers: %w", err)
	}
	return nil
}
