package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 100 * time.Millisecond

// lockFile is never removed: whoever waits for it must wait for the same file.
func (b *Builder) lockFile(name string) (*flock.Flock, error) {
	dir := filepath.Join(b.Cache, "lock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	return flock.New(filepath.Join(dir, name+".lock")), nil
}

// lock takes the lock called name, telling people when that means to wait for
// another that builds what.
func (b *Builder) lock(ctx context.Context, name, what string) (unlock func(), err error) {
	f, err := b.lockFile(name)
	if err != nil {
		return nil, err
	}
	held, err := f.TryLock()
	if err == nil && !held {
		step := b.step("wait for another runvm that builds "+what, 0)
		_, err = f.TryLockContext(ctx, lockPoll)
		step.Done("")
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", f.Path(), err)
	}
	return func() { _ = f.Close() }, nil
}
