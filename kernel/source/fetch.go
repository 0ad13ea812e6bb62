package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/runvm/runvm/internal/progress"
)

const (
	maxDownload = 2 << 30 // bytes of an archive
	stallTime   = time.Minute
)

// httpGet asks for url from byte offset on. The answer is 200 or, for an
// offset, 206; anything else is an error. The body fails when nothing comes
// for a minute.
func httpGet(ctx context.Context, url string, offset int64) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel(err)
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	stall := errors.New("nothing received for " + stallTime.String())
	timer := time.AfterFunc(stallTime, func() { cancel(stall) })
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		timer.Stop()
		cancel(err)
		return nil, networkError(ctx, err)
	}
	if resp.StatusCode != http.StatusOK && (offset == 0 || resp.StatusCode != http.StatusPartialContent) {
		timer.Stop()
		resp.Body.Close()
		cancel(nil)
		return nil, &statusError{url, resp.StatusCode}
	}
	resp.Body = &watchedBody{resp.Body, ctx, timer, cancel}
	return resp, nil
}

// A statusError is an answer of a web server that is not the file.
type statusError struct {
	url  string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("get %s: %d %s", e.url, e.code, http.StatusText(e.code))
}

// networkError marks what a working network would not have caused.
func networkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrNetwork, cause)
	}
	var netErr net.Error
	if ctx.Err() == nil && errors.As(err, &netErr) {
		return fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	return err
}

// A watchedBody gives up on a server that has gone silent.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.timer.Reset(stallTime)
	if err != nil && !errors.Is(err, io.EOF) {
		err = networkError(b.ctx, err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// fetchSmall returns the text at url of at most limit bytes.
func fetchSmall(ctx context.Context, url string, limit int64) ([]byte, error) {
	resp, err := httpGet(ctx, url, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("get %s: larger than %d bytes", url, limit)
	}
	return text, err
}

// download makes file the content of url, whose SHA-256 must be digest. What
// an earlier, interrupted call got is kept as file+".part" and continued.
func (s *Store) download(ctx context.Context, url, file, digest string) error {
	if ok, _ := hasDigest(file, digest); ok {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	part, err := os.OpenFile(file+".part", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := s.receive(ctx, url, part); err != nil {
		return toolError(err, "", "")
	}
	ok, err := hasDigest(part.Name(), digest)
	if err != nil {
		return err
	}
	if !ok {
		// Kept, it would be wrong for ever.
		_ = os.Remove(part.Name())
		return fmt.Errorf("download %s: %w: its SHA-256 is not %s", path.Base(url), ErrUntrusted, digest)
	}
	return os.Rename(part.Name(), file)
}

// receive appends to part what it lacks of url.
func (s *Store) receive(ctx context.Context, url string, part *os.File) error {
	offset, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	resp, err := httpGet(ctx, url, offset)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusRequestedRangeNotSatisfiable {
		return nil // the part is whole already; the digest will tell
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		// The server does not continue downloads: from the start, then.
		offset = 0
		if err := part.Truncate(0); err != nil {
			return err
		}
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	total := offset + max(resp.ContentLength, 0)
	step := s.sink().Start("download "+path.Base(url), total, progress.Bytes)
	body := progress.Reader(io.LimitReader(resp.Body, maxDownload-offset), offsetStep{step, offset}, total)
	_, err = io.Copy(part, body)
	step.Done("")
	return err
}

// An offsetStep counts from the middle on.
type offsetStep struct {
	progress.Step
	offset int64
}

func (s offsetStep) Set(done, total int64) { s.Step.Set(s.offset+done, total) }

// hasDigest says whether the content of file has this SHA-256, in hex.
func hasDigest(file, digest string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == digest, nil
}
