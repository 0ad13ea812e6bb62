package source

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// noRoom tells whether the disk that holds dir has less than 128 KiB left.
func noRoom(dir string) bool {
	var disk syscall.Statfs_t
	return syscall.Statfs(dir, &disk) == nil && disk.Bavail*uint64(disk.Bsize) < 128<<10
}

// withRoom runs f, and ends it when full says for seconds that the disk has
// no room left: apt-get waits for ever, for a download that cannot go on.
func withRoom(ctx context.Context, full func() bool, f func(context.Context) error) error {
	watched, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for ticks := 0; ticks < 3; ticks++ {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			if !full() {
				ticks = -1
			}
		}
		end(ErrDiskFull)
	}()
	err := f(watched)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), ErrDiskFull) {
		return ErrDiskFull
	}
	return err
}
