package initramfs

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestScriptsRunInTheGuestsShell(t *testing.T) {
	t.Parallel()
	for line, ok := range map[string]bool{
		"#!/bin/sh": true, "#! /bin/bash -e": true, "#!/usr/bin/env bash": true, "#!/usr/bin/env -S dash -u": true,
		"#!/usr/bin/python3": false, "#!/usr/bin/env perl": false, "#!": false, "echo": false,
	} {
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(line+"\nexit 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := NewProgram(file, "/t/script")
		if (err == nil) != ok {
			t.Errorf("%q: error %v", line, err)
		}
		if ok && (!p.Script || string(p.Files[0].Data) != "#!/bin/sh\nexit 1\n") {
			t.Errorf("%q: %+v", line, p)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error of several lines: %v", line, err)
		}
	}
}

func TestStaticBinaryComesAlone(t *testing.T) {
	t.Parallel()
	binary := compile(t, "build", "./testdata/torture")
	p, err := NewProgram(binary, "/t/torture")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 1 || p.Script {
		t.Errorf("%+v", p)
	}
}

func TestDynamicBinaryBringsItsLibraries(t *testing.T) {
	t.Parallel()
	host, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no dynamic binary to try: ", err)
	}
	p, err := NewProgram(host, "/t/sh")
	if err != nil {
		t.Fatal(err)
	}
	var loader, libc bool
	for _, f := range p.Files {
		loader = loader || strings.HasPrefix(filepath.Base(f.Path), "ld-linux")
		libc = libc || filepath.Base(f.Path) == "libc.so.6"
	}
	if len(p.Files) > 1 && !(loader && libc) {
		t.Errorf("%+v", p.Files)
	}
}

func TestForeignBinaryIsRefused(t *testing.T) {
	t.Parallel()
	binary := compile(t, "build", "./testdata/torture")
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	const machine = 18 // offset in the ELF header
	text[machine], text[machine+1] = byte(elf.EM_S390), 0
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, text, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = NewProgram(foreign, "/t/x")
	if err == nil || !strings.Contains(err.Error(), "EM_S390") {
		t.Errorf("error %v", err)
	}
}

func FuzzNewProgram(f *testing.F) {
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	if text, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(text[:min(len(text), 4096)])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(file, text, 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := NewProgram(file, "/t/program")
		if err == nil && len(p.Files) == 0 {
			t.Error("neither a program nor an error")
		}
	})
}
