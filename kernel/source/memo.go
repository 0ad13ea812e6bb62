package source

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/runvm/runvm/internal/progress"
)

// A memo is what a specification was last resolved to, and until when that
// may be believed without looking again.
type memo struct {
	Tree  Tree
	Watch map[string]int64 // modification time of a path in ns since 1970, 0 when absent
	Until time.Time        // zero: for ever
}

func (s *Store) memoPath(name string) string { return filepath.Join(s.Dir, name+".json") }

// load returns the memo called name. A torn or foreign file is as good as
// none.
func (s *Store) load(name string) (memo, bool) {
	text, err := os.ReadFile(s.memoPath(name))
	if err != nil {
		return memo{}, false
	}
	var m memo
	if json.Unmarshal(text, &m) != nil || m.Tree.ID == "" {
		return memo{}, false
	}
	// The cache may have been moved since.
	m.Tree.GitDir = s.repo(m.Tree.Base)
	if _, err := os.Stat(filepath.Join(m.Tree.GitDir, "HEAD")); err != nil {
		return memo{}, false
	}
	return m, true
}

func (s *Store) save(name string, m memo) error {
	m.Tree.Note = ""
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.memoPath(name), text, 0o644)
}

// fresh says whether nothing that m depends on has changed.
func (m memo) fresh() bool {
	if !m.Until.IsZero() && time.Now().After(m.Until) {
		return false
	}
	for path, stamp := range m.Watch {
		if mtime(path) != stamp {
			return false
		}
	}
	return true
}

func mtime(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// watch returns the present modification times of paths.
func watch(paths ...string) map[string]int64 {
	stamps := make(map[string]int64, len(paths))
	for _, path := range paths {
		stamps[path] = mtime(path)
	}
	return stamps
}

// repo is the repository for the sources called base.
func (s *Store) repo(base string) string { return filepath.Join(s.Dir, base+".git") }

// lock keeps other processes from fetching the source called name. It waits,
// and says so, until ctx ends.
func (s *Store) lock(ctx context.Context, name string) (release func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(s.Dir, name+".lock"))
	held, err := l.TryLock()
	if err == nil && !held {
		step := s.sink().Start("wait for another runvm that fetches "+name, 0, progress.Items)
		defer step.Done("")
		_, err = l.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { _ = l.Unlock() }, nil
}

func (s *Store) sink() progress.Sink {
	if s.Progress == nil {
		return progress.Discard{}
	}
	return s.Progress
}
