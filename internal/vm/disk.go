package vm

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// prompt is what makes QEMU read a disk's file within the guest's own request:
// io_uring completes a read of what the host has in its page cache as it is
// submitted, while a thread of a pool completes it when that thread runs.
const prompt = ",aio=io_uring"

// promptTime bounds a QEMU that opens a file and quits, which takes 0.04 s.
const promptTime = 10 * time.Second

// canPrompt tells whether the QEMU at path and the host have io_uring: it may be
// built without, and containers commonly forbid it.
func canPrompt(ctx context.Context, path string, d Disk) bool {
	ctx, cancel := context.WithTimeout(ctx, promptTime)
	defer cancel()
	q := exec.CommandContext(ctx, path, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "none",
		"-monitor", "stdio", "-drive", d.drive("probe")+prompt)
	q.Stdin = strings.NewReader("quit\n")
	q.SysProcAttr, q.WaitDelay = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, time.Second
	var complaint strings.Builder
	q.Stderr = &complaint
	return q.Run() == nil && complaint.Len() == 0
}
