package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// maxScript bounds a script, in bytes.
const maxScript = 16 << 20

// A Program is a host's file prepared to run in the guest.
type Program struct {
	Path  string // where it lies in the guest
	Files []File // the program and the libraries it needs
	// Script says that it is a script, which needs Spec.Commands.
	Script bool
}

// NewProgram prepares the host's file source to run in the guest as path: a
// static binary, a dynamic one with its interpreter and the libraries that it
// is linked with (not those that it loads by itself), or a script for a POSIX
// shell or bash. The file is read, never executed.
func NewProgram(source, path string) (*Program, error) {
	f, err := os.Open(source)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read the program %s: not a regular file", source)
	}
	magic := make([]byte, 4)
	n, _ := io.ReadFull(f, magic) // a shorter file is neither of the two
	switch {
	case bytes.HasPrefix(magic[:n], []byte("#!")):
		return newScript(source, path, info.Size())
	case string(magic[:n]) == elf.ELFMAG:
		return newBinary(source, path)
	}
	return nil, fmt.Errorf("read the program %s: neither an ELF binary nor a script with a #! line", source)
}

// newScript lets the guest's one shell run the script, wherever the host's is.
func newScript(source, path string, size int64) (*Program, error) {
	if size > maxScript {
		return nil, fmt.Errorf("read the script %s: larger than %d MiB", source, maxScript>>20)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("read the script: %w", err)
	}
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	shell := interpreter(string(line))
	if !slices.Contains([]string{"sh", "bash", "dash", "ash"}, shell) {
		return nil, fmt.Errorf("read the script %s: its interpreter %q is not in the guest, which has sh and bash", source, shell)
	}
	text = append([]byte("#!/bin/sh\n"), rest...)
	return &Program{Path: path, Script: true, Files: []File{{Path: path, Data: text, Mode: 0o755}}}, nil
}

// interpreter returns the name of the program that a #! line asks for.
func interpreter(line string) string {
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	for _, word := range words {
		if name := path.Base(word); name != "env" && !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			return name
		}
	}
	return ""
}

func newBinary(source, path string) (*Program, error) {
	program := &Program{Path: path, Files: []File{{Path: path, Source: source, Mode: 0o755}}}
	bin, err := elf.Open(source)
	if err != nil {
		return nil, fmt.Errorf("read the binary %s: %w", source, err)
	}
	defer bin.Close()
	if !runs(bin) {
		return nil, fmt.Errorf("read the binary %s: for %v %v, the guest is %s", source, bin.Class, bin.Machine, runtime.GOARCH)
	}
	loader, err := loaderOf(bin)
	if err != nil {
		return nil, fmt.Errorf("read the binary %s: %w", source, err)
	}
	if loader == "" {
		return program, nil
	}
	libraries, err := findLibraries(source, loader)
	if err != nil {
		return nil, err
	}
	program.Files = append(program.Files, libraries...)
	return program, nil
}

// runs says whether the guest's machine executes the file.
func runs(f *elf.File) bool {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}
	return f.Class == elf.ELFCLASS64 && f.Machine == machines[runtime.GOARCH]
}

// loaderOf returns the path of the dynamic loader that a binary asks for,
// empty when it is static.
func loaderOf(f *elf.File) (string, error) {
	for _, header := range f.Progs {
		if header.Type != elf.PT_INTERP {
			continue
		}
		if header.Filesz > 4096 {
			return "", errors.New("the name of its loader is too long")
		}
		name := make([]byte, header.Filesz)
		if _, err := header.ReadAt(name, 0); err != nil {
			return "", err
		}
		loader := strings.TrimRight(string(name), "\x00")
		if !path.IsAbs(loader) || path.Clean(loader) != loader {
			return "", fmt.Errorf("the name of its loader is %q", loader)
		}
		return loader, nil
	}
	return "", nil
}
