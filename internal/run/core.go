package run

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"regexp"

	"github.com/runvm/runvm/internal/sh"
)

// maxNotes bounds what is read of a core's notes, in bytes.
const maxNotes = 4 << 20

// reduced is in the .config of a kernel whose debug information has no types.
var reduced = regexp.MustCompile(`(?m)^CONFIG_DEBUG_INFO_REDUCED=y$`)

// readers are the commands that open core, the memory of a guest that ran
// built: gdb needs no more than names, crash and drgn need the kernel's types,
// drgn a note that the kernel left for it. None where there is no vmlinux.
func readers(built *Built, core string) (commands []string, hint string) {
	if built.Vmlinux == "" {
		return nil, "its readers need a vmlinux, of which " + core + " is the memory"
	}
	commands = append(commands, sh.Quote("gdb", built.Vmlinux, core))
	if !hasTypes(built.Vmlinux, built.Config) {
		return commands, "this kernel has no debug information with types, which -profile dump has and crash and drgn need"
	}
	commands = append(commands, sh.Quote("crash", built.Vmlinux, core))
	if noted(core) {
		commands = append(commands, sh.Quote("drgn", "-c", core, "-s", built.Vmlinux))
	}
	return commands, ""
}

// hasTypes says that a vmlinux has debug information with types.
func hasTypes(vmlinux, config string) bool {
	f, err := elf.Open(vmlinux)
	if err != nil {
		return false
	}
	defer f.Close()
	if f.Section(".debug_info") == nil {
		return false
	}
	text, err := os.ReadFile(config)
	return err != nil || !reduced.Match(text)
}

// noted says that a core has the note VMCOREINFO.
func noted(core string) bool {
	f, err := elf.Open(core)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		if notes, err := io.ReadAll(io.LimitReader(p.Open(), maxNotes)); err == nil && bytes.Contains(notes, []byte("VMCOREINFO\x00")) {
			return true
		}
	}
	return false
}
