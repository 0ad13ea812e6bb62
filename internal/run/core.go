package run

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/vm"
)

// reduced is in the .config of a kernel whose debug information has no types.
var reduced = regexp.MustCompile(`(?m)^CONFIG_DEBUG_INFO_REDUCED=y$`)

// A core is a guest's memory in a file, and the kernel that it is of.
type core struct {
	path, vmlinux string
	release       string // of the kernel
	types         bool   // vmlinux has them in its debug information
	info          string // as vm.CoreInfo
}

func (b *Built) core(path string) core {
	return core{path: path, vmlinux: b.Vmlinux, release: b.Release, types: hasTypes(b.Vmlinux, b.Config), info: vm.CoreInfo(path)}
}

// readers are the commands that open the core: gdb needs no more than names,
// crash and drgn need the kernel's types, drgn a note that the kernel left for
// it. The hints say why one is missing. version is that of an installed
// program, "" where it is not known.
func (c core) readers(version func(tool string) string) (commands, hints []string) {
	if c.vmlinux == "" {
		return nil, []string{"its readers need a vmlinux, of which " + c.path + " is the memory"}
	}
	if vm.Moved(c.info) {
		hints = append(hints, "gdb cannot follow a kernel that was moved at boot (KASLR)")
	} else {
		commands = append(commands, sh.Quote("gdb", c.vmlinux, c.path))
	}
	if !c.types {
		return commands, append(hints, "this kernel has no debug information with types, which -profile dump has and crash and drgn need")
	}
	if old := tooOld("crash", version("crash"), c.release); old != "" {
		hints = append(hints, old)
	} else {
		commands = append(commands, sh.Quote("crash", c.vmlinux, c.path))
	}
	if c.info == "" {
		return commands, append(hints, "drgn needs a note that a kernel leaves which has CONFIG_FW_CFG_SYSFS=y, as with -profile dump")
	}
	if old := tooOld("drgn", version("drgn"), c.release); old != "" {
		hints = append(hints, old)
	}
	return append(commands, sh.Quote("drgn", "-c", c.path, "-s", c.vmlinux)), hints
}

// tooOld says what the version of a tool cannot do with the core of a release;
// "" when nothing is known of it. What it says was seen, on Linux 6.12.
func tooOld(tool, version, release string) string {
	for _, known := range []struct{ tool, last, release, does, good string }{
		{"crash", "8.0.6", "6.12", "does not open every core", "9.0.2"},
		{"drgn", "0.0.22", "6.12", "shows its tasks and variables but no stacks", "0.0.31"},
	} {
		if tool == known.tool && version != "" && compareVersions(version, known.last) <= 0 && compareVersions(release, known.release) >= 0 {
			return fmt.Sprintf("%s %s, which is installed, %s of Linux %s; %s does", tool, version, known.does, release, known.good)
		}
	}
	return ""
}

// compareVersions compares the numbers of a and b: "8.0.10" is after "8.0.6".
func compareVersions(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(version string) []int {
	var all []int
	for _, field := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(field)
		all = append(all, n)
	}
	return all
}

// askTime bounds a question for a version.
const askTime = 5 * time.Second

// version asks an installed program for its version; "" when there is none.
func (c *Conductor) version(ctx context.Context, tool string) string {
	if _, err := exec.LookPath(tool); err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, _ := sh.Runner{}.Command(ctx, "", tool, "--version").Output()
	return regexp.MustCompile(`[0-9]+(\.[0-9]+)+`).FindString(string(out))
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
