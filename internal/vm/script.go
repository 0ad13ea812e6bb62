package vm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A script is what QEMU is told, and when.
type script struct {
	hail     string // at once, before it listens: no event is lost
	ready    string // when the guest said wire.Ready
	migrated string // when the guest's state is written or read
}

// What scripts consist of: QMP commands, as in QEMU's qapi/*.json.
const (
	qmpHello = `{"execute":"qmp_capabilities"}` + "\n"
	qmpStart = `{"execute":"cont"}` + "\n"
	qmpStop  = `{"execute":"stop"}` + "\n"
	qmpQuit  = `{"execute":"quit"}` + "\n"
	// Memory that is a file stays where it is; migration says how it goes.
	qmpCapable = `{"execute":"migrate-set-capabilities","arguments":{"capabilities":[` +
		`{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}]}}` + "\n"
	// The descriptor comes beside the command, as in `man 7 unix`, SCM_RIGHTS.
	qmpState = `{"execute":"getfd","arguments":{"fdname":"state"}}` + "\n"
	qmpSave  = `{"execute":"migrate","arguments":{"uri":"fd:state"}}` + "\n"
	qmpLoad  = `{"execute":"migrate-incoming","arguments":{"uri":"fd:state"}}` + "\n"
)

// bootScript starts the guest.
func bootScript() script { return script{hail: qmpHello + qmpStart} }

// saveScript starts the guest and, when it is ready, writes its state to the
// channels' state.
func saveScript() script {
	return script{
		hail:     qmpHello + qmpCapable + qmpState + qmpStart,
		ready:    qmpStop + qmpSave,
		migrated: qmpQuit,
	}
}

// loadScript reads the guest's state from there and lets it go on.
func loadScript() script {
	return script{hail: qmpHello + qmpCapable + qmpState + qmpLoad, migrated: qmpStart}
}

// tell says something to QEMU.
func (r *run) tell(commands string) error {
	if _, err := io.WriteString(r.channels.qmp, commands); err != nil {
		return fmt.Errorf("speak to QEMU: %w", err)
	}
	return nil
}

// hail says the first things to QEMU, with the descriptor they are about.
func (r *run) hail() error {
	if r.channels.state == nil {
		return r.tell(r.script.hail)
	}
	return sendFD(r.channels.qmp, r.script.hail, r.channels.state)
}

// sendFD writes text to a socket with f beside it.
func sendFD(socket *os.File, text string, f *os.File) error {
	conn, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("speak to QEMU: %w", err)
	}
	var sent error
	err = conn.Control(func(fd uintptr) {
		sent = unix.Sendmsg(int(fd), []byte(text), unix.UnixRights(int(f.Fd())), nil, 0)
	})
	if err := cmp.Or(err, sent); err != nil {
		return fmt.Errorf("speak to QEMU: %w", err)
	}
	return nil
}

// migration does what the script wants when the guest's state is written or
// read. The error says that this failed.
func (r *run) migration(e Event) error {
	if e.Name != "MIGRATION" || r.migrated {
		return nil
	}
	var data struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
		return fmt.Errorf("read QMP: %w", err)
	}
	switch data.Status {
	case "failed":
		return fmt.Errorf("QEMU cannot save or load the guest: %s", lastLine(r.process.stderr.String()))
	case "completed":
		r.migrated = true
		if r.before != nil {
			r.result.Times.Resumed = r.since()
			close(r.begun)
		}
		return r.tell(r.script.migrated)
	}
	return nil
}
