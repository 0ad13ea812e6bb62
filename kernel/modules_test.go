package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moduleFile is an object with a section .modinfo.
func moduleFile(depends string) string {
	const header, entry = 64, 64
	info := "license=GPL\x00depends=" + depends + "\x00name=any\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	var f bytes.Buffer
	put := func(v any) { _ = binary.Write(&f, binary.LittleEndian, v) }
	at := uint64(header)
	put(elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: at + uint64(len(info)+len(names)), Ehsize: header, Shentsize: entry, Shnum: 3, Shstrndx: 2,
	})
	f.WriteString(info + names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(info))})
	put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(info)), Size: uint64(len(names))})
	return f.String()
}

// modular makes the toy a kernel with modules: what cuse-core.ko depends on is
// listed behind it.
func (k *toy) modular() {
	k.want("# why\nCONFIG_TOY=m\n")
	k.files["cuse.ko"], k.files["fuse.ko"] = moduleFile("fuse_core"), moduleFile("")
	k.files["behave"] = "mkdir -p $obj/fs; cp cuse.ko $obj/fs/cuse.ko; cp fuse.ko $obj/fs/fuse-core.ko\n" +
		"case $targets in *modules*) printf 'fs/cuse.o\\nfs/fuse-core.o\\n' >$obj/modules.order;; esac\n"
}

func TestModulesAreStoredInTheOrderToLoadThem(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.modular()
	image := k.mustBuild()
	want := []string{filepath.Join(image.Dir, "fuse-core.ko"), filepath.Join(image.Dir, "cuse.ko")}
	if diff := cmp.Diff(want, image.Modules); diff != "" {
		t.Error(diff)
	}
	if again := k.mustBuild(); !again.Cached || !cmp.Equal(again.Modules, want) {
		t.Errorf("from the store: %+v", again)
	}
	if err := os.Remove(image.Modules[1]); err != nil {
		t.Fatal(err)
	}
	if again := k.mustBuild(); again.Cached {
		t.Error("an image that has lost a module was taken for whole")
	}
}

func TestModulesThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, x := range []struct{ name, text, want string }{
		{"alone.ko", moduleFile("elsewhere"), "module alone depends on elsewhere, which was not built"},
		{"self.ko", moduleFile("self"), "module self depends on itself"},
		{"none.ko", string(elfFile(true)), "no section .modinfo"},
		{"text.ko", strings.Repeat("not an object ", 9), "bad magic number"},
	} {
		if _, err := loadOrder([]string{write(x.name, x.text)}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
	}
}
