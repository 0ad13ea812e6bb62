// Init is PID 1 of a guest that runvm starts. It mounts what programs expect,
// runs the tests of the plan one by one, streams what they do to the host on
// a virtio-serial port, and switches the machine off. Whatever a test does,
// no wait in here is unbounded.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/runvm/runvm/internal/wire"
	"golang.org/x/sys/unix"
)

// searchPath finds u-root's commands, where the image has them, and what the
// user put into it.
const searchPath = "/bin:/sbin:/usr/bin:/usr/sbin:/bbin"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this program is PID 1 of a runvm guest")
		os.Exit(2)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "runvm:", err)
	}
	powerOff()
}

// serve does the whole plan. Its error is one that could not be sent to the
// host.
func serve() error {
	if err := os.Setenv("PATH", searchPath); err != nil {
		return err
	}
	complaints := mountAll()
	klog, err := openKernelLog()
	if err != nil {
		return err
	}
	port, err := openPort(wire.Port)
	if err != nil {
		klog.print(err.Error())
		return err
	}
	port.onLost = func(err error) {
		klog.print(err.Error())
		powerOff()
	}
	port.send(&wire.Record{Type: wire.Hello, Version: wire.Version, Uname: uname(), Taint: taint()})
	for _, err := range complaints {
		port.send(&wire.Record{Type: wire.Error, Text: err.Error()})
	}
	if _, err = os.Stat(wire.PlanPath); errors.Is(err, os.ErrNotExist) {
		err = await(port)
	}
	var plan *wire.Plan
	if err == nil {
		plan, err = readPlan()
	}
	if err != nil {
		port.send(&wire.Record{Type: wire.Error, Text: err.Error()})
		return port.drain()
	}
	for _, err := range prepare(plan) {
		port.send(&wire.Record{Type: wire.Error, Text: err.Error()})
	}
	runner, err := newRunner(port, klog)
	if err != nil {
		port.send(&wire.Record{Type: wire.Error, Text: err.Error()})
	}
	for i := range plan.Tests {
		runner.run(&plan.Tests[i])
	}
	port.send(&wire.Record{Type: wire.Done})
	return port.drain()
}

func readPlan() (*wire.Plan, error) {
	text, err := os.ReadFile(wire.PlanPath)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	plan := new(wire.Plan)
	if err := json.Unmarshal(text, plan); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if plan.Version != wire.Version {
		return nil, fmt.Errorf("read the plan: version %d, this guest speaks %d", plan.Version, wire.Version)
	}
	if len(plan.Tests) == 0 && !plan.Kernel {
		return nil, errors.New("read the plan: no tests in it")
	}
	return plan, nil
}

// uname is "release version machine".
func uname() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:]) + " " +
		unix.ByteSliceToString(u.Version[:]) + " " +
		unix.ByteSliceToString(u.Machine[:])
}

// powerOff never returns. A file system may hang in sync, which must not keep
// the machine on; nothing of the guest's disks is needed afterwards.
func powerOff() {
	within(grace, unix.Sync)
	for {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}
