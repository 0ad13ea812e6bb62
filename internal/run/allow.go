package run

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/runvm/runvm/internal/verdict"
)

// LoadAllow reads allowlists: TOML files of
//
//	[[allow]]
//	title  = "^WARNING in foo$"         # a regular expression
//	reason = "known, harmless here"
//	link   = "https://example.com/123"  # may be left out
//	until  = 2026-12-31                 # may be left out: the last day
//
// An error names the file and what is wrong with it; it is an ErrUsage.
func LoadAllow(paths []string) ([]verdict.Allowed, error) {
	var all []verdict.Allowed
	for _, path := range paths {
		entries, err := loadAllow(path)
		if err != nil {
			return nil, usagef("-allow %s: %w", path, err)
		}
		all = append(all, entries...)
	}
	return all, nil
}

func loadAllow(path string) ([]verdict.Allowed, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Allow []struct {
			Title, Reason, Link string
			Until               time.Time
		}
	}
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %s", unknown[0])
	}
	if len(file.Allow) == 0 {
		return nil, errors.New("no [[allow]] in it")
	}
	var entries []verdict.Allowed
	for i, e := range file.Allow {
		if e.Title == "" || e.Reason == "" {
			return nil, fmt.Errorf("entry %d: a title and a reason are needed", i+1)
		}
		if _, err := regexp.Compile(e.Title); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		until := e.Until
		if !until.IsZero() {
			until = time.Date(until.Year(), until.Month(), until.Day(), 0, 0, 0, 0, time.UTC)
		}
		entries = append(entries, verdict.Allowed{Title: e.Title, Reason: e.Reason, Link: e.Link, Until: until})
	}
	return entries, nil
}
