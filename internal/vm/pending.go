package vm

import (
	"context"
	"errors"
	"io"

	"github.com/runvm/runvm/internal/wire"
)

// ErrNoQEMU is what Run, Version and Pick return when the emulator is not there.
var ErrNoQEMU = errors.New("not installed")

// Run boots m and returns when it is over. An error means that there was no
// run to judge: the machine is impossible, a file is missing, QEMU cannot be
// started or does not die.
func Run(ctx context.Context, m Machine, o Options) (*Result, error) {
	return nil, errors.ErrUnsupported
}

// Line is the command that boots m from a shell, console on the terminal.
func Line(m Machine) (string, error) { return "", errors.ErrUnsupported }

// Version returns QEMU's version line; qemu as in Machine.QEMU.
func Version(ctx context.Context, qemu string) (string, error) { return "", errors.ErrUnsupported }

// Pick resolves want (Auto, KVM or TCG). For Auto it runs guest code under
// /dev/kvm for at most ProbeTime and remembers the answer in the folder
// cache ("" remembers nothing) until the machine, its kernel or QEMU change.
// An error means that want is none of the three.
func Pick(ctx context.Context, want, qemu, cache string) (Accel, error) {
	return Accel{}, errors.ErrUnsupported
}

// ReadRecords calls record for every record of the stream r, in order, and
// returns the number of lines that are none. Its error is r's.
func ReadRecords(r io.Reader, record func(wire.Record)) (bad int, err error) {
	return 0, errors.ErrUnsupported
}
