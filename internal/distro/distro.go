// Package distro knows what runvm needs from the machine it runs on, which
// package of the distribution has it, and how to install it.
package distro

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/runvm/runvm/internal/sh"
)

// A Need is one thing that must be on the machine.
type Need struct {
	Tool    string // the program's name, or the path of a header file
	Package string // Debian's package that has it
	Why     string // what runvm does with it
}

// VM lists what booting a guest needs.
func VM() []Need {
	return []Need{
		{"qemu-system-x86_64", "qemu-system-x86", "boots the guest"},
	}
}

// Build lists what fetching, patching and building a kernel needs. libc6-dev
// stands beside gcc because Debian's gcc only recommends it.
func Build() []Need {
	return []Need{
		{"git", "git", "holds and patches kernel sources"},
		{"xz", "xz-utils", "unpacks kernel sources"},
		{"make", "make", "builds kernels"},
		{"gcc", "gcc", "builds kernels"},
		{"ld", "binutils", "builds kernels"},
		{"/usr/include/stdio.h", "libc6-dev", "builds the kernel's own tools"},
		{"flex", "flex", "builds the kernel's configuration reader"},
		{"bison", "bison", "builds the kernel's configuration reader"},
		{"bc", "bc", "computes the kernel's time constants"},
		{"/usr/include/gelf.h", "libelf-dev", "builds the kernel's objtool"},
	}
}

// Check lists what checking a kernel's source needs beside Build.
func Check() []Need {
	return []Need{
		{"sparse", "sparse", "finds faults in the types of a kernel's source"},
		{"perl", "perl", "runs the kernel's checkpatch"},
	}
}

// Programs lists what guests may be given (-with), as far as this project's own
// tests run it there.
func Programs() []Need {
	return []Need{
		{"fio", "fio", "writes and verifies files in the guest"},
		{"stress-ng", "stress-ng", "stresses the guest's kernel"},
	}
}

// Missing returns the needs that this machine does not meet.
func Missing(needs []Need) []Need {
	return slices.DeleteFunc(slices.Clone(needs), present)
}

func present(n Need) bool {
	if strings.HasPrefix(n.Tool, "/") {
		_, err := os.Stat(n.Tool)
		return err == nil
	}
	_, err := exec.LookPath(n.Tool)
	return err == nil
}

// A MissingError names what is missing where it could not be installed.
type MissingError struct {
	Needs  []Need
	Advice string // what to type, or to look for
}

// Error is one line: what is missing, and what to do.
func (e *MissingError) Error() string {
	return fmt.Sprintf("missing %s: %s", strings.Join(tools(e.Needs), ", "), e.Advice)
}

// A System is the machine packages are installed on. The zero value is not
// usable; see Host.
type System struct {
	Sh        sh.Runner
	Out       io.Writer // told what is installed and why
	OSRelease string    // the path of os-release(5)
	Root      bool      // whether the user is root
}

// Host returns the machine the program runs on.
func Host(run sh.Runner, out io.Writer) *System {
	return &System{Sh: run, Out: out, OSRelease: "/etc/os-release", Root: os.Geteuid() == 0}
}

// Ensure installs what is missing of needs, saying what and why. It returns a
// *MissingError where it may not, or where the distribution is not Debian's kin.
func (s *System) Ensure(ctx context.Context, needs []Need) error {
	missing := Missing(needs)
	if len(missing) == 0 {
		return nil
	}
	install := Command(missing)
	if !s.debian() {
		return &MissingError{missing, fmt.Sprintf("install the packages that have them (on Debian: %s)", strings.Join(packages(missing), " "))}
	}
	prefix, ok := s.rights(ctx)
	if !ok {
		return &MissingError{missing, "type: " + Type(missing)}
	}
	for _, n := range missing {
		fmt.Fprintf(s.Out, "install %-15s %s\n", n.Package, n.Why)
	}
	if err := s.install(ctx, append(prefix, install...)); err != nil {
		return err
	}
	if still := Missing(missing); len(still) > 0 {
		return &MissingError{still, "installed, but not found in PATH: " + strings.Join(packages(still), " ")}
	}
	return nil
}

// Type is what a user types to install what is missing: a line that does on a
// machine whose package lists were never fetched, and on one without sudo.
func Type(missing []Need) string {
	script := "apt-get update; " + sh.Quote(Command(missing)...)
	if _, err := exec.LookPath("sudo"); err != nil {
		return sh.Quote("su", "-", "-c", script)
	}
	return sh.Quote("sudo", "sh", "-c", script)
}

// install runs apt-get; where its lists are empty or old it renews them once.
func (s *System) install(ctx context.Context, argv []string) error {
	run := func(argv ...string) error {
		return s.Sh.Command(ctx, "", argv[0], argv[1:]...).With("DEBIAN_FRONTEND=noninteractive").Run()
	}
	err := run(argv...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintln(s.Out, "renew the package lists (apt-get update)")
	// A repository that fails here need not be one that is needed.
	update := run(append(slices.Clone(argv[:slices.Index(argv, "install")]), "update")...)
	if err := run(argv...); err != nil {
		if update != nil {
			return fmt.Errorf("install packages: %w (and %w)", err, update)
		}
		return fmt.Errorf("install packages: %w", err)
	}
	return nil
}

// Command is what installs the missing needs on Debian, as root.
func Command(missing []Need) []string {
	return append([]string{"apt-get", "-y", "--no-install-recommends", "install"}, packages(missing)...)
}

// rights returns what has to stand before apt-get, and whether it may run.
func (s *System) rights(ctx context.Context) (prefix []string, ok bool) {
	if s.Root {
		return nil, true
	}
	if s.Sh.Command(ctx, "", "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n"}, true
	}
	return nil, false
}

// debian says whether os-release names Debian or a kin of it.
func (s *System) debian() bool {
	data, err := os.ReadFile(s.OSRelease)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		value = strings.Trim(value, `"'`)
		if (key == "ID" || key == "ID_LIKE") && slices.Contains(strings.Fields(value), "debian") {
			return true
		}
	}
	return false
}

func tools(needs []Need) []string {
	return collect(needs, func(n Need) string { return n.Tool })
}

func packages(needs []Need) []string {
	return collect(needs, func(n Need) string { return n.Package })
}

func collect(needs []Need, field func(Need) string) []string {
	var names []string
	for _, n := range needs {
		if name := field(n); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
