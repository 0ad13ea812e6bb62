package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// The kinds of Entry.
const (
	KindImage = "image" // a finished image
	KindLane  = "lane"  // source and objects, which make builds incremental
	KindTorn  = "torn"  // what an interrupted build or removal left behind
)

// An Entry is something of the cache that GC may remove.
type Entry struct {
	// Kind is one of the constants above.
	Kind string
	// Name is the image's key or the lane's base.
	Name string
	// Label is for people: release and profile of an image.
	Label string
	Dir   string
	Bytes int64 // on disk
	// Used is when it was last built or asked for.
	Used time.Time
	// Busy says that a build holds it now; GC leaves it.
	Busy bool
}

// List returns what is in the cache, the longest unused first.
func (b *Builder) List() ([]Entry, error) {
	var all []Entry
	for _, kind := range []string{KindImage, KindLane} {
		dir := filepath.Join(b.Cache, kind)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list cache: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				all = append(all, b.entry(kind, e.Name()))
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Used.Before(all[j].Used) })
	return all, nil
}

func (b *Builder) entry(kind, name string) Entry {
	e := Entry{Kind: kind, Name: name, Dir: filepath.Join(b.Cache, kind, name)}
	if info, err := os.Stat(e.Dir); err == nil {
		e.Used = info.ModTime()
	}
	e.Bytes = diskUsage(e.Dir)
	meta, err := readMeta(e.Dir)
	switch {
	case kind == KindImage && err == nil:
		e.Label = meta.Release + " " + meta.Profile
	case kind == KindImage || strings.HasPrefix(name, trashPrefix):
		e.Kind = KindTorn
	}
	release, busy := b.hold(e)
	if e.Busy = busy; !busy {
		release()
	}
	return e
}

// hold takes the lock of an entry; busy says that somebody else has it.
func (b *Builder) hold(e Entry) (release func(), busy bool) {
	if strings.HasPrefix(e.Name, trashPrefix) {
		return func() {}, false
	}
	name := e.Kind + "-" + e.Name
	if key, torn := strings.CutPrefix(e.Name, tmpPrefix); torn {
		key, _, _ = strings.Cut(key, "-")
		name = KindImage + "-" + key
	} else if e.Kind == KindTorn {
		name = KindImage + "-" + e.Name
	}
	f, err := b.lockFile(name)
	if err != nil {
		return nil, true
	}
	held, err := f.TryLock()
	if err != nil || !held {
		return nil, true
	}
	return func() { _ = f.Close() }, false
}

// GC removes what has not been used for keep before now, and whatever an
// interrupted build left in the store. It returns what was removed; what a
// build holds stays.
func (b *Builder) GC(keep time.Duration, now time.Time) ([]Entry, error) {
	all, err := b.List()
	if err != nil {
		return nil, err
	}
	var removed []Entry
	for _, e := range all {
		if e.Kind != KindTorn && now.Sub(e.Used) < keep {
			continue
		}
		release, busy := b.hold(e)
		if busy {
			continue
		}
		err := discard(e.Dir)
		release()
		if err != nil {
			return removed, err
		}
		removed = append(removed, e)
	}
	return removed, nil
}

// diskUsage is the room that the files below dir take, in bytes; what can't
// be read counts nothing.
func diskUsage(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			total += stat.Blocks * 512
		}
		return nil
	})
	return total
}
