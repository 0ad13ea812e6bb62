package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Bounds on what QEMU may say.
const (
	maxEvents  = 64
	maxQMPLine = 64 << 10
	maxData    = 4 << 10
)

// A message is what runvm reads of QMP.
type message struct {
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// readQMP calls event for each QMP event of r until r ends, and text for each
// answer that is text.
func readQMP(r io.Reader, started time.Time, event func(Event), text func(string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxQMPLine)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("read QMP: %w", err)
		}
		if m.Error != nil {
			return fmt.Errorf("QEMU refuses: %s", m.Error.Desc)
		}
		var answer string
		if json.Unmarshal(m.Return, &answer) == nil && answer != "" {
			text(answer)
		}
		if m.Event != "" {
			data := m.Data[:min(len(m.Data), maxData)]
			event(Event{Name: m.Event, Data: string(data), After: time.Since(started)})
		}
	}
	return lines.Err()
}

// fault tells that the host has no room for what the guest writes to a disk: QEMU
// has stopped the guest, which is not to blame (docs/interop/qmp-spec.rst,
// BLOCK_IO_ERROR).
func (e Event) fault() error {
	if e.Name != "BLOCK_IO_ERROR" {
		return nil
	}
	var data struct {
		NoSpace bool   `json:"nospace"`
		Action  string `json:"action"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil || !data.NoSpace || data.Action != "stop" {
		return nil // the guest is told
	}
	return fmt.Errorf("the guest's disk: %w", syscall.ENOSPC)
}

// reason reads how the guest ended from an event; "" is no end.
func (e Event) reason() Reason {
	switch e.Name {
	case "GUEST_PANICKED", "GUEST_CRASHLOADED":
		return Panicked
	case "SHUTDOWN":
	default:
		return ""
	}
	var data struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
		return ""
	}
	switch data.Reason {
	case "guest-shutdown":
		return PowerOff
	case "guest-reset":
		return Reset
	case "guest-panic":
		return Panicked
	case "host-signal", "host-qmp-quit":
		return Killed
	}
	return ""
}
