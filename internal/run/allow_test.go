package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadAllow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"whole":    {"[[allow]]\ntitle='^W'\nreason='r'\nlink='l'\nuntil=2026-12-31\n[[allow]]\ntitle='B'\nreason='s'", ""},
		"empty":    {"", "no [[allow]]"},
		"regexp":   {"[[allow]]\ntitle='('\nreason='r'", "entry 1: error parsing regexp"},
		"reason":   {"[[allow]]\ntitle='W'", "entry 1: a title and a reason"},
		"misspelt": {"[[allow]]\ntitel='W'\nreason='r'", "unknown key allow.titel"},
		"no TOML":  {"title", "toml: line 1"},
	} {
		path := filepath.Join(t.TempDir(), "allow.toml")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := LoadAllow([]string{path})
		if c.want != "" {
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil || len(got) != 2 || got[0].Link != "l" || got[0].Until.Format(time.DateOnly) != "2026-12-31" || !got[1].Until.IsZero() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := LoadAllow([]string{"/nowhere/allow.toml"}); !errors.Is(err, ErrUsage) {
		t.Errorf("%v", err)
	}
}
