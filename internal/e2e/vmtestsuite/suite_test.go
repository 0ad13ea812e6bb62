//go:build vmtest

package vmtestsuite

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hugelgupf/vmtest/qemu"
	"github.com/u-root/u-root/pkg/cpio"
)

// initramfs builds a root file system whose init is the program in ./guest.
func initramfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-o", bin, "./guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "initramfs.cpio")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive, err := cpio.Format("newc")
	if err != nil {
		t.Fatal(err)
	}
	w := archive.Writer(f)
	records := []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.Directory("proc", 0o755), cpio.Directory("mnt", 0o755),
		cpio.StaticFile("init", string(program), 0o755),
	}
	if err := cpio.WriteRecordsAndDirs(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestGuestSpeaksAndPowersOff(t *testing.T) {
	vm, err := qemu.Start(qemu.ArchUseEnvv, qemu.WithInitramfs(initramfs(t)), qemu.WithAppendKernel("console=ttyS0"),
		qemu.LogSerialByLine(qemu.DefaultPrint("guest", t.Logf)), qemu.WithVMTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Console.ExpectString("hello from the guest"); err != nil {
		t.Error(err)
	}
	if err := vm.Wait(); err != nil {
		t.Error(err)
	}
}

func TestGuestReadsADirectoryOfTheHost(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "note"), []byte("written on the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	vm, err := qemu.Start(qemu.ArchUseEnvv, qemu.WithInitramfs(initramfs(t)), qemu.WithAppendKernel("console=ttyS0"), qemu.P9Directory(dir, "share"),
		qemu.LogSerialByLine(qemu.DefaultPrint("guest", t.Logf)), qemu.WithVMTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Console.ExpectString("note: written on the host"); err != nil {
		t.Error(err)
	}
	if err := vm.Wait(); err != nil {
		t.Error(err)
	}
}
