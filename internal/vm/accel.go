package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// The accelerators.
const (
	KVM  = "kvm"
	TCG  = "tcg"
	Auto = "auto" // for Pick: KVM where it really works, else TCG
)

// ProbeTime bounds the time Pick lets guest code run under KVM.
const ProbeTime = 2 * time.Second

// An Accel is what executes guest code, and why it was chosen.
type Accel struct {
	Name string        `json:"name"` // KVM or TCG
	Why  string        `json:"why"`  // one sentence
	Took time.Duration `json:"took"` // the probe's time, 0 when it was remembered or not needed
}

// device is what gives a process access to KVM.
const kvmDevice = "/dev/kvm"

// Pick resolves want. For Auto it runs guest code under KVM in a machine like
// those Run boots, for at most ProbeTime, and remembers the answer in the
// folder cache ("" remembers nothing) for a day, or until the host boots,
// or its CPU, kernel or QEMU change. qemu is as in Machine.QEMU. An error
// means that want is no accelerator, or that QEMU is not installed.
func Pick(ctx context.Context, want, qemu, cache string) (Accel, error) {
	switch want {
	case KVM, TCG:
		return Accel{Name: want, Why: "asked for"}, nil
	case Auto:
	default:
		return Accel{}, fmt.Errorf("accelerator %q: want %s, %s or %s", want, Auto, KVM, TCG)
	}
	path, err := find(qemu)
	if err != nil {
		return Accel{}, err
	}
	if why := missing(kvmDevice); why != "" {
		return Accel{Name: TCG, Why: why}, nil
	}
	key, err := probeKey(path)
	if err != nil {
		return Accel{}, err
	}
	if a, ok := recall(cache, key); ok {
		return a, nil
	}
	a, err := probe(ctx, path)
	if err == nil {
		err = remember(cache, key, a)
	}
	return a, err
}

// missing says why KVM cannot even be opened, "" when it can.
func missing(device string) string {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "this machine has no " + device
	case errors.Is(err, os.ErrPermission):
		return "this user may not open " + device + " (group kvm)"
	case err != nil:
		return fmt.Sprintf("KVM cannot be used: %v", err)
	}
	f.Close()
	return ""
}

// probe boots payload under KVM and looks how far and how fast it gets.
func probe(ctx context.Context, qemu string) (Accel, error) {
	started := time.Now()
	kernel, err := os.CreateTemp("", "runvm-probe-")
	if err != nil {
		return Accel{}, fmt.Errorf("probe KVM: %w", err)
	}
	defer os.Remove(kernel.Name())
	_, err = kernel.Write(payload())
	if err := errors.Join(err, kernel.Close()); err != nil {
		return Accel{}, fmt.Errorf("probe KVM: %w", err)
	}
	m := Machine{QEMU: qemu, Kernel: kernel.Name(), MemoryMiB: MinMemoryMiB, CPUs: 1, Accel: Accel{Name: KVM}}
	var seen stopwatch
	res, err := Run(ctx, m, Options{Console: &seen, Deadline: ProbeTime})
	if err != nil {
		return Accel{}, fmt.Errorf("probe KVM: %w", err)
	}
	if ctx.Err() != nil {
		return Accel{}, fmt.Errorf("probe KVM: %w", context.Cause(ctx))
	}
	a := Accel{Name: KVM, Why: fmt.Sprintf("guest code ran under KVM in %v", seen.took().Round(time.Millisecond))}
	if why := seen.fault(res); why != "" {
		a = Accel{Name: TCG, Why: why}
	}
	a.Took = time.Since(started)
	return a, nil
}

// A stopwatch is the console of payload: it notes when each mark came.
type stopwatch struct{ begun, ended time.Time }

// Write never fails.
func (s *stopwatch) Write(p []byte) (int, error) {
	for _, c := range p {
		switch c {
		case markBegin:
			s.begun = time.Now()
		case markEnd:
			s.ended = time.Now()
		}
	}
	return len(p), nil
}

func (s *stopwatch) took() time.Duration { return s.ended.Sub(s.begun) }

// fault is one sentence that says what is wrong with KVM, "" for nothing.
func (s *stopwatch) fault(res *Result) string {
	switch {
	case res.Reason == QEMUExit:
		return fmt.Sprintf("%s opens, but QEMU cannot use it: %s", kvmDevice, res.complaint())
	case s.begun.IsZero():
		return fmt.Sprintf("%s opens, but no guest code ran under it within %v", kvmDevice, ProbeTime)
	case s.ended.IsZero() && res.Reason == Deadline:
		return fmt.Sprintf("%s opens, but guest code under it was not done within %v", kvmDevice, ProbeTime)
	case s.ended.IsZero():
		return fmt.Sprintf("%s opens, but guest code under it failed (%s)", kvmDevice, res.Reason)
	case s.took() > maxProbe:
		return fmt.Sprintf("guest code under KVM took %v where %v is plenty", s.took().Round(time.Millisecond), maxProbe)
	}
	return ""
}

// complaint is what QEMU said last, without its name, or how it ended.
func (s *Result) complaint() string {
	if last := lastLine(s.Stderr); last != "" {
		return last
	}
	return s.Detail
}
