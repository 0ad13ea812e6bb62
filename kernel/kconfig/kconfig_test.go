package kconfig

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) []Symbol {
	t.Helper()
	symbols, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return symbols
}

func TestParse(t *testing.T) {
	t.Parallel()
	got := parse(t, `# What this file is for.

# Splice without copies,
# and more.
# since 6.9
# until 6.12
CONFIG_FUSE_PASSTHROUGH=y
CONFIG_NR_CPUS=8
# Cost and test nothing.
# CONFIG_CPU_MITIGATIONS is not set
`)
	want := []Symbol{
		{Name: "FUSE_PASSTHROUGH", Value: "y", Why: "Splice without copies, and more.",
			Since: Version{6, 9}, Until: Version{6, 12}},
		{Name: "NR_CPUS", Value: "8"},
		{Name: "CPU_MITIGATIONS", Value: "n", Why: "Cost and test nothing."},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseNamesTheLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\nFUSE_FS=y":            "line 2: \"FUSE_FS=y\" is neither",
		"CONFIG_FUSE_FS":         "line 1: CONFIG_FUSE_FS has no value",
		"CONFIG_FUSE_FS=":        "has no value",
		"CONFIG_=y":              "without a name",
		"CONFIG_A B=y":           "not the name",
		"# since ever\nCONFIG_A": "line 1: \"ever\" is not the version",
	} {
		_, err := Parse(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %q", text, err, want)
		}
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	first := parse(t, "CONFIG_B=y\nCONFIG_A=1\n# since 6.9\nCONFIG_NEW=y\n# until 6.2\nCONFIG_OLD=y")
	last := parse(t, "CONFIG_A=2")
	for version, want := range map[string]string{
		"6.1.170":   "A=2 B=y OLD=y",
		"6.2":       "A=2 B=y OLD=y",
		"6.12.117":  "A=2 B=y NEW=y",
		"7.3.0-rc1": "A=2 B=y NEW=y",
	} {
		v, err := ParseVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range Union(v, first, last) {
			got = append(got, s.Name+"="+s.Value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("Union(%s) = %s, want %s", version, got, want)
		}
	}
}

func TestMergeAndMissing(t *testing.T) {
	t.Parallel()
	base := "# CONFIG_FUSE_FS is not set\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\n# Networking\n"
	wanted := parse(t, "CONFIG_FUSE_FS=y\n# CONFIG_SMP is not set\nCONFIG_NR_CPUS=8")
	merged, err := Merge([]byte(base), wanted)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Networking\nCONFIG_FUSE_FS=y\n# CONFIG_SMP is not set\nCONFIG_NR_CPUS=8\n"
	if diff := cmp.Diff(want, string(merged)); diff != "" {
		t.Error(diff)
	}
	all, err := ReadDotConfig(bytes.NewReader(merged))
	if err != nil {
		t.Fatal(err)
	}
	if m := all.Missing(wanted); len(m) != 0 {
		t.Errorf("missing after merge: %v", m)
	}
	none, err := ReadDotConfig(strings.NewReader(base))
	if err != nil {
		t.Fatal(err)
	}
	if m := none.Missing(wanted); len(m) != 3 {
		t.Errorf("missing before merge: %v, want all three", m)
	}
}

func TestDepends(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{
		"Kconfig": {Data: []byte(`mainmenu "Linux"
source "arch/$(SRCARCH)/Kconfig"
source "lib/Kconfig"
source "not/there"
config LAST
	bool
`)},
		"arch/x86/Kconfig": {Data: []byte(`config X86
	def_bool y
	help
	  depends on PROSE
	    config PROSE

	  if PROSE
config PVH
	bool "PVH"
	depends on X86 || \
		   UML
	depends on NET # a remark
menu "Block"
	depends on BLOCK
comment "needs more"
	depends on NOTHING
if SMP
config LOOP
	tristate "loop"
	depends on X86 || UML
endif
endmenu
`)},
		"lib/Kconfig": {Data: []byte("config TWICE\n\tdepends on A\nconfig TWICE\n\tdepends on B\n" +
			"config FREE\n\tdepends on A\nconfig FREE\n\tbool\n")},
	}
	got, err := Depends(tree, "x86")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"X86":   "",
		"PVH":   "(X86 || UML) && NET",
		"LOOP":  "BLOCK && SMP && (X86 || UML)",
		"TWICE": "(A) || (B)",
		"FREE":  "",
		"LAST":  "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	names := Symbols("FUSE_FS && (BLOCK=y || !64BIT) && BLOCK")
	if diff := cmp.Diff([]string{"FUSE_FS", "BLOCK", "64BIT"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestDependsEndsOnALoop(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{"Kconfig": {Data: []byte("source \"Kconfig\"\n")}}
	if _, err := Depends(tree, "x86"); err == nil {
		t.Error("a file that sources itself was read without an error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# why\n# since 6.9\nCONFIG_A=y\n# CONFIG_B is not set\n")
	f.Fuzz(func(t *testing.T, text string) {
		symbols, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		merged, err := Merge(nil, symbols)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ReadDotConfig(bytes.NewReader(merged))
		if err != nil {
			t.Fatalf("what Parse accepts is no .config: %v", err)
		}
		for _, s := range Union(Version{6, 12}, symbols) {
			if len(symbols) == 1 && c.Value(s.Name) != s.Value {
				t.Errorf("%s lost: got %s", s.Line(), c.Value(s.Name))
			}
		}
	})
}

func FuzzDepends(f *testing.F) {
	f.Add("config A\n\tdepends on B\n\thelp\n\t  prose\nif C\nmenu \"x\"\nendmenu\nendif\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree := fstest.MapFS{"Kconfig": {Data: []byte(text)}}
		depends, _ := Depends(tree, "x86")
		for name, expr := range depends {
			if name == "" && expr == "" {
				continue
			}
			Symbols(expr)
		}
	})
}
