package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEverySymbolSaysWhy(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(files, "*.config")
	if err != nil || len(names) == 0 {
		t.Fatalf("fragments: %v, %v", names, err)
	}
	for _, name := range names {
		symbols, err := load(strings.TrimSuffix(name, ".config"))
		if err != nil {
			t.Error(err)
		}
		seen := map[string]bool{}
		for _, s := range symbols {
			if s.Why == "" {
				t.Errorf("%s: CONFIG_%s has no comment", name, s.Name)
			}
			if seen[s.Name] {
				t.Errorf("%s: CONFIG_%s is there twice", name, s.Name)
			}
			seen[s.Name] = true
		}
	}
}

func TestEveryProfileLoads(t *testing.T) {
	t.Parallel()
	for _, name := range Profiles() {
		if symbols, err := Load(name, true); err != nil || len(symbols) < 50 {
			t.Errorf("profile %s: %d symbols, %v", name, len(symbols), err)
		}
	}
}

func TestDebugContainsPlain(t *testing.T) {
	t.Parallel()
	plain, err := profile("plain")
	if err != nil {
		t.Fatal(err)
	}
	debug, err := profile("debug")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range plain {
		if !strings.Contains(" "+strings.Join(debug, " ")+" ", " "+name+" ") {
			t.Errorf("debug lacks %s", name)
		}
	}
}

func TestLoadList(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "my.config")
	if err := os.WriteFile(file, []byte("CONFIG_XFS_FS=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	symbols, err := Load("fuse, "+file, true)
	if err != nil {
		t.Fatal(err)
	}
	if last := symbols[len(symbols)-1]; last.Name != "XFS_FS" || symbols[0].Name != "FUSE_FS" {
		t.Errorf("Load: first %s, last %s", symbols[0].Name, last.Name)
	}
	if err := os.WriteFile(file, []byte("# CONFIG_XFS_FS is not set\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	symbols, err = Load("plain,"+file, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range symbols {
		if own := i == len(symbols)-1; (s.Value == "n") != own {
			t.Errorf("without trim: %s", s.Line())
		}
	}
	for list, want := range map[string]string{
		"fast":           `profile "fast" is unknown: use debug, dump, plain or`,
		"plain,":         `profile "" is unknown`,
		"./no.config":    "read fragment",
		"../../../etc/x": "read fragment",
		"/":              "not a file",
	} {
		if _, err := Load(list, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%q): %v, want %q", list, err, want)
		}
	}
}
