package vm

import "time"

// The accelerators.
const (
	KVM  = "kvm"
	TCG  = "tcg"
	Auto = "auto" // for Pick: KVM where it really works, else TCG
)

// An Accel is what executes guest code, and why it was chosen.
type Accel struct {
	Name string        `json:"name"` // KVM or TCG
	Why  string        `json:"why"`  // one sentence
	Took time.Duration `json:"took"` // the probe's time, 0 when it was remembered or not needed
}
