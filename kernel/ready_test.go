package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func bzImage(release string) []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint16(b[bootFlag:], 0xaa55)
	copy(b[bootMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[bootRelease:], 0x400)
	copy(b[0x600:], release+" (builder@host) #1 SMP\x00")
	return b
}

func TestReady(t *testing.T) {
	t.Parallel()
	var b Builder
	for name, c := range map[string]struct {
		content []byte
		pvh, bz bool
	}{
		"vmlinux with PVH":    {elfFile(true), true, false},
		"vmlinux without PVH": {elfFile(false), false, false},
		"bzImage":             {bzImage("6.12.117-toy"), false, true},
	} {
		path := writeFile(t, c.content)
		image, err := b.Ready(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if image.PVH != c.pvh || (image.BzImage == path) != c.bz || (image.Vmlinux == path) == c.bz ||
			image.Release != "6.12.117-toy" || len(image.Short()) != shortKey {
			t.Errorf("%s: %+v", name, image)
		}
	}
}

func TestReadyRefuses(t *testing.T) {
	t.Parallel()
	var b Builder
	other := elfFile(true)
	other[18] = 183 // arm64
	for name, path := range map[string]string{
		"text":             writeFile(t, []byte("vmlinux")),
		"empty":            writeFile(t, nil),
		"another machine":  writeFile(t, other),
		"cut after header": writeFile(t, elfFile(true)[:70]),
	} {
		if _, err := b.Ready(path); !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Ready("/no/such/vmlinux"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := b.Ready(t.TempDir()); err == nil {
		t.Error("a folder was taken for an image")
	}
}

func TestBannerInPieces(t *testing.T) {
	t.Parallel()
	var b banner
	for _, c := range bytes.Repeat([]byte("x"), 1000) {
		_, _ = b.Write([]byte{c})
	}
	for _, c := range elfFile(true) {
		_, _ = b.Write([]byte{c})
	}
	if b.release != "6.12.117-toy" {
		t.Errorf("release %q", b.release)
	}
}

func FuzzReady(f *testing.F) {
	f.Add(elfFile(true))
	f.Add(bzImage("6.12.117"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r := bytes.NewReader(content)
		if release, ok := readBzImage(r); ok && len(release) > maxRelease {
			t.Errorf("release of %d bytes", len(release))
		}
		_, _ = readELF(r)
	})
}

// rodata is a vmlinux whose section .rodata holds text.
func rodata(text string) []byte {
	const names = "\x00.rodata\x00.shstrtab\x00"
	var b bytes.Buffer
	head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		Shoff: uint64(64 + len(text) + len(names))}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, head)
	b.WriteString(text + names)
	for _, s := range []elf.Section64{
		{}, {Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(text))},
		{Name: 9, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(text)), Size: uint64(len(names))},
	} {
		_ = binary.Write(&b, binary.LittleEndian, s)
	}
	return b.Bytes()
}

func TestBzImageHasTheVmlinuxItWasMadeOf(t *testing.T) {
	t.Parallel()
	const early = "\x00Linux version 6.12.117-toy (builder@host) (gcc (Debian) 12, ld 2.40) # SMP \n\x00"
	const banner = early + "\x00Linux version 6.12.117-toy (builder@host) (gcc (Debian) 12, ld 2.40) #1 SMP\n\x00"
	for _, c := range []struct {
		name, image, vmlinux string
		text                 string
		found                bool
	}{
		{"beside it", "bzImage", "vmlinux", banner, true},
		{"where kbuild leaves it", "arch/x86/boot/bzImage", "vmlinux", banner, true},
		{"elsewhere", "boot/bzImage", "vmlinux", banner, false},
		{"of another build", "bzImage", "vmlinux", strings.Replace(banner, "#1", "#2", 1), false},
		{"of a build without a number", "bzImage", "vmlinux", early, false},
		{"of another release", "bzImage", "vmlinux", strings.ReplaceAll(banner, "-toy", "-boy"), false},
		{"of another builder", "bzImage", "vmlinux", strings.ReplaceAll(banner, "@host", "@toast"), false},
		{"without a banner", "bzImage", "vmlinux", "", false},
	} {
		dir := t.TempDir()
		image, vmlinux := filepath.Join(dir, c.image), filepath.Join(dir, c.vmlinux)
		if err := errors.Join(os.MkdirAll(filepath.Dir(image), 0o755),
			os.WriteFile(image, bzImage("6.12.117-toy"), 0o644), os.WriteFile(vmlinux, rodata(c.text), 0o644)); err != nil {
			t.Fatal(err)
		}
		want := ""
		if c.found {
			want = vmlinux
		}
		got, err := (&Builder{}).Ready(image)
		if err != nil || got.Vmlinux != want || got.BzImage != image || got.PVH {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}
