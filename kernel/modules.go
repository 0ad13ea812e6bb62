package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/runvm/runvm/kernel/kconfig"
)

// ModuleSuffix ends the name of a module's file.
const ModuleSuffix = ".ko"

// The bounds of what is read of modules, in bytes.
const (
	maxOrder   = 4 << 20 // of modules.order
	maxModinfo = 1 << 20 // of the section that says what a module depends on
)

// modular tells whether modules are built: where a profile or fragment sets a
// symbol to m. Those of a user's whole .config, which can be thousands, are not
// reason enough.
func modular(wanted []kconfig.Symbol) bool {
	for _, s := range wanted {
		if s.Value == "m" {
			return true
		}
	}
	return false
}

// goals of make that are the image.
func (p *plan) goals() []string {
	goals := []string{"vmlinux", "bzImage"}
	if modular(p.wanted) {
		goals = append(goals, "modules")
	}
	return goals
}

// storeModules copies the lane's modules into dir and returns their names there,
// each behind those it depends on. It notes the sizes.
func (l *lane) storeModules(dir string, sizes map[string]int64) ([]string, error) {
	if !modular(l.wanted) {
		return nil, nil
	}
	files, err := ModulesIn(l.obj)
	if err != nil {
		return nil, err
	}
	if files, err = loadOrder(files); err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		name := filepath.Base(file)
		if sizes[name], err = copySynced(filepath.Join(dir, name), file); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// ModulesIn returns the files of the modules of a kernel that was built in dir:
// modules.order lists their objects, .o since Linux 6.2 and .ko before. What leaves
// the folder is none of them.
func ModulesIn(dir string) ([]string, error) {
	order, err := readBounded(filepath.Join(dir, "modules.order"), maxOrder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, path := range strings.Fields(string(order)) {
		if filepath.IsLocal(path) {
			files = append(files, filepath.Join(dir, strings.TrimSuffix(path, filepath.Ext(path))+ModuleSuffix))
		}
	}
	return files, nil
}

// loadOrder sorts files of modules so that each comes behind those it depends
// on, and otherwise stays where it is.
func loadOrder(files []string) ([]string, error) {
	byName := map[string]string{}
	for _, file := range files {
		byName[ModuleName(file)] = file
	}
	var sorted []string
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(file string) error
	visit = func(file string) error {
		switch state[file] {
		case open:
			return fmt.Errorf("module %s depends on itself", ModuleName(file))
		case done:
			return nil
		}
		state[file] = open
		depends, err := moduleDepends(file)
		if err != nil {
			return fmt.Errorf("module %s: %w", file, err)
		}
		for _, name := range depends {
			other, ok := byName[name]
			if !ok {
				return fmt.Errorf("module %s depends on %s, which was not built", ModuleName(file), name)
			}
			if err := visit(other); err != nil {
				return err
			}
		}
		state[file] = done
		sorted = append(sorted, file)
		return nil
	}
	for _, file := range files {
		if err := visit(file); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}

// ModuleName is what the kernel calls the module in a file: it writes "_" for "-".
func ModuleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ModuleSuffix), "-", "_")
}

// moduleDepends are the names of the modules whose symbols the one in a file
// uses, as modpost has written them into its section .modinfo.
func moduleDepends(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	object, err := elf.NewFile(f)
	if err != nil {
		return nil, err
	}
	section := object.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := io.ReadAll(io.LimitReader(section.Open(), maxModinfo))
	if err != nil {
		return nil, err
	}
	for _, entry := range bytes.Split(info, []byte{0}) {
		if list, found := bytes.CutPrefix(entry, []byte("depends=")); found && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}
	return nil, nil
}
