package run

import (
	"strings"
	"testing"
)

func TestReadersAreThoseThatOpenTheCore(t *testing.T) {
	t.Parallel()
	const info = "OSRELEASE=6.12.117\nKERNELOFFSET=0\n"
	whole := core{path: "core", vmlinux: "vmlinux", release: "6.12.117", types: true, info: info}
	for name, c := range map[string]struct {
		change   func(c *core)
		versions string // of crash and drgn
		want     string // the commands' first words
		hint     string
	}{
		"everything":              {func(*core) {}, "9.0.2 0.3.0", "gdb crash drgn", ""},
		"nothing installed":       {func(*core) {}, " ", "gdb crash drgn", ""},
		"as in Debian 12":         {func(*core) {}, "8.0.2 0.0.22", "gdb drgn", "crash 8.0.2, which is installed, does not open every core of Linux 6.12.117; 9.0.2 does\ndrgn 0.0.22, which is installed, shows its tasks and variables but no stacks of Linux 6.12.117; 0.0.31 does"},
		"as in Debian 12, of 6.1": {func(c *core) { c.release = "6.1.170" }, "8.0.2 0.0.22", "gdb crash drgn", ""},
		"two digits":              {func(*core) {}, "8.0.10 0.0.100", "gdb crash drgn", ""},
		"moved":                   {func(c *core) { c.info = "KERNELOFFSET=1a000000\n" }, " ", "crash drgn", "KASLR"},
		"without a note":          {func(c *core) { c.info = "" }, " ", "gdb crash", "FW_CFG_SYSFS"},
		"without types":           {func(c *core) { c.types = false }, " ", "gdb", "-profile dump"},
		"without a vmlinux":       {func(c *core) { c.vmlinux = "" }, " ", "", "need a vmlinux"},
	} {
		mine := whole
		c.change(&mine)
		crash, drgn, _ := strings.Cut(c.versions, " ")
		commands, hints := mine.readers(func(tool string) string { return map[string]string{"crash": crash, "drgn": drgn}[tool] })
		var first []string
		for _, command := range commands {
			word, _, _ := strings.Cut(command, " ")
			first = append(first, word)
		}
		hint := strings.Join(hints, "\n")
		if got := strings.Join(first, " "); got != c.want || !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
			t.Errorf("%s: %q, hints %q", name, got, hint)
		}
	}
}
