package initramfs

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxLibraries bounds what one binary may be linked with.
const maxLibraries = 256

// findLibraries returns the loader and all libraries that the dynamic binary
// source is linked with, directly or not. In the guest they lie where the C
// library lies on the host: there the loader looks without configuration.
func findLibraries(source, loader string) ([]File, error) {
	found := make(map[string]string) // path on the host by name
	queue := []string{source}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		needed, dirs, err := linkage(file)
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			if _, ok := found[name]; ok || name == filepath.Base(loader) {
				continue
			}
			library := find(name, append(dirs, libraryDirs()...))
			if library == "" {
				return nil, fmt.Errorf("find the libraries of %s: %s is not on this host", source, name)
			}
			if len(found) == maxLibraries {
				return nil, fmt.Errorf("find the libraries of %s: more than %d", source, maxLibraries)
			}
			found[name] = library
			queue = append(queue, library)
		}
	}
	return libraryFiles(found, loader), nil
}

func libraryFiles(found map[string]string, loader string) []File {
	files := []File{{Path: loader, Source: loader, Mode: 0o755}}
	libc := found["libc.so.6"]
	for name, library := range found {
		dir := filepath.Dir(library)
		if libc != "" {
			dir = filepath.Dir(libc)
		}
		files = append(files, File{Path: filepath.Join(dir, name), Source: library, Mode: 0o755})
	}
	return files
}

// linkage returns the names of the libraries that a file is linked with, and
// the directories that it wants searched first.
func linkage(file string) (needed, dirs []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read the library %s: %w", file, err)
	}
	defer f.Close()
	needed, err = f.ImportedLibraries()
	if err != nil {
		return nil, nil, fmt.Errorf("read the library %s: %w", file, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := f.DynString(tag) // most files have none
		for _, list := range lists {
			list = strings.NewReplacer("${ORIGIN}", "$ORIGIN", "$ORIGIN", filepath.Dir(file)).Replace(list)
			dirs = append(dirs, filepath.SplitList(list)...)
		}
	}
	return needed, dirs, nil
}

// find returns the first file called name in dirs that the guest can load.
func find(name string, dirs []string) string {
	if strings.ContainsRune(name, '/') {
		return ""
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, name)
		if !filepath.IsAbs(file) {
			continue
		}
		f, err := elf.Open(file)
		if err != nil {
			continue
		}
		ok := runs(f)
		_ = f.Close()
		if ok {
			return file
		}
	}
	return ""
}

// libraryDirs are the directories that the host's loader searches.
func libraryDirs() []string {
	configs, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf")
	var dirs []string
	for _, config := range append(configs, "/etc/ld.so.conf") {
		dirs = append(dirs, readDirs(config)...)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}

func readDirs(config string) []string {
	f, err := os.Open(config)
	if err != nil {
		return nil
	}
	defer f.Close()
	var dirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); filepath.IsAbs(line) {
			dirs = append(dirs, line)
		}
	}
	return dirs
}
