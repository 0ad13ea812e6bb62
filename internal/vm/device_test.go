package vm

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateFlag = flag.Bool("update", false, "rewrite testdata/*.golden")

// machines are those whose command is recorded in testdata.
var machines = map[string]Machine{
	"plain": {Kernel: "vmlinux", Initrd: []string{"root.cpio"}, MemoryMiB: 512, CPUs: 2, Accel: Accel{Name: TCG}},
	"kvm":   {Kernel: "bzImage", MemoryMiB: 512, CPUs: 1, Accel: Accel{Name: KVM}},
	"deterministic": {
		Kernel: "vmlinux", Initrd: []string{"root.cpio"}, MemoryMiB: 512, CPUs: 1, Accel: Accel{Name: TCG},
		Deterministic: true, Seed: 42,
	},
	"everything": {
		QEMU: "/opt/qemu/bin/qemu-system-x86_64", Kernel: "vmlinux", Initrd: []string{"root.cpio", "my tests.cpio"},
		Append: []string{"oops=panic"}, MemoryMiB: 1024, CPUs: 4, Accel: Accel{Name: TCG},
		Disks:  []Disk{{Path: "a,b.img", Serial: "s,1"}, {Path: "c.img", ReadOnly: true, Made: "truncate -s 1M c.img"}},
		Shares: []Share{{Tag: "t", Dir: "/d,e", ReadOnly: true}},
		Net:    true, TTY: true, tscKHz: 2445411,
	},
}

func TestLine(t *testing.T) {
	t.Parallel()
	for name, m := range machines {
		got := strings.ReplaceAll(Line(m), " -", " \\\n\t-") + "\n"
		file := filepath.Join("testdata", name+".golden")
		if *updateFlag {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got, -update rewrites it):\n%s", name, diff)
		}
		if err := m.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What every guest is denied, whatever else it has.
func TestArgsKeepTheGuestIn(t *testing.T) {
	t.Parallel()
	for name, m := range machines {
		line := strings.Join(m.args(ends{console: "null", results: "null", tty: "null", qmp: "null"}), " ")
		for _, want := range []string{"-sandbox on,", "-nodefaults", "-no-user-config", "-nic none", "-no-reboot"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		for part, asked := range map[string]bool{"-netdev": m.Net, "-fsdev": len(m.Shares) > 0, "virtconsole": m.TTY, "-icount": m.Deterministic} {
			if strings.Contains(line, part) != asked {
				t.Errorf("%s: %s there is %t", name, part, !asked)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Machine){
		"no kernel":            func(m *Machine) { m.Kernel = "" },
		"memory of 63 MiB":     func(m *Machine) { m.MemoryMiB = 63 },
		"memory of 2097152":    func(m *Machine) { m.MemoryMiB = 2 << 20 },
		"0 CPUs":               func(m *Machine) { m.CPUs = 0 },
		"256 CPUs":             func(m *Machine) { m.CPUs = 256 },
		`accelerator "hax"`:    func(m *Machine) { m.Accel.Name = "hax" },
		"control character":    func(m *Machine) { m.Append = []string{"a\nb"} },
		"disk serial":          func(m *Machine) { m.Disks = []Disk{{Serial: strings.Repeat("s", 21)}} },
		"share tag":            func(m *Machine) { m.Shares = []Share{{}} },
		"needs 1 CPU, not 2":   func(m *Machine) { m.Deterministic, m.CPUs = true, 2 },
		"needs tcg, not kvm":   func(m *Machine) { m.Deterministic, m.Accel.Name = true, KVM },
		"takes no share":       func(m *Machine) { m.Deterministic, m.Net = true, true },
		"seed -1: want 0 to 4": func(m *Machine) { m.Deterministic, m.Seed = true, -1 },
		"seed 4294967296: ":    func(m *Machine) { m.Deterministic, m.Seed = true, math.MaxUint32+1 },
	} {
		m := Machine{Kernel: "vmlinux", MemoryMiB: 64, CPUs: 1, Accel: Accel{Name: TCG}}
		change(&m)
		if err := m.validate(); err == nil || !strings.HasPrefix(err.Error(), "machine: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
}
