// Package lkdtm runs in the guest and makes its kernel crash in every way that
// LKDTM, the kernel's own crash module, knows. TestLKDTM of the package above
// runs it, a guest for each way, and looks at what runvm makes of it.
package lkdtm
