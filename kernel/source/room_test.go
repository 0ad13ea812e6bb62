package source

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAptIsEndedWhenTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		wait := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Minute):
				return nil
			}
		}
		full := func() bool { return time.Since(start) > 10*time.Second }
		if err := withRoom(t.Context(), full, wait); !errors.Is(err, ErrDiskFull) || time.Since(start) > 15*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		// Full for a moment, as while a list is unpacked.
		odd := func() bool { return time.Now().Second()%3 != 0 }
		if err := withRoom(t.Context(), odd, wait); err != nil {
			t.Error(err)
		}
	})
}
