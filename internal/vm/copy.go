package vm

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"
)

// A hearing reads from the guest and resets the silence clock.
type hearing struct {
	run   *run
	r     io.Reader
	first *time.Duration // when the first byte came, since the start
}

func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		now := h.run.since()
		h.run.heard.Store(int64(now))
		if *h.first == 0 {
			*h.first = now
		}
	}
	return n, err
}

// copyOut copies until either side is closed. It is io.Copy without the
// detours through the methods of either side.
func copyOut(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(writer{w}, reader{r}, make([]byte, 256<<10))
	return err
}

type (
	writer struct{ io.Writer }
	reader struct{ io.Reader }
)

// gone says that err is how a channel ends when QEMU does.
func gone(err error) bool {
	return errors.Is(err, fs.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}
