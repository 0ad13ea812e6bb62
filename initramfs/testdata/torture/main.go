// Torture does in the guest what tests should not do, one thing a run.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	things := map[string]func(){
		"children": children,
		"deaf":     deaf,
		"flood":    flood,
		"signal":   func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); time.Sleep(time.Minute) },
		"mounts":   mounts,
		"bytes":    func() { os.Stdout.WriteString("a\xffb\x00c\x01\x1b é \u2028\n"); os.Stderr.WriteString("err\n") },
		"controls": func() { os.Stdout.Write(make([]byte, 200_000)) },
		"exit":     func() { os.Exit(7) },
		"world":    world,
		"stdin":    func() { n, err := io.Copy(io.Discard, os.Stdin); fmt.Println(n, err) },
	}
	thing := things[os.Args[1]]
	if thing == nil {
		os.Exit(99)
	}
	thing()
}

// children leaves ten processes behind that hold its output open.
func children() {
	for range 10 {
		cmd := exec.Command("/proc/self/exe", "deaf")
		cmd.Stdout = os.Stdout
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("ten children")
}

// deaf listens to nothing.
func deaf() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGHUP)
	time.Sleep(time.Hour)
}

// flood writes numbered lines, 4 MB in all.
func flood() {
	w := bufio.NewWriter(os.Stdout)
	for i := range 400_000 {
		fmt.Fprintf(w, "%9d\n", i)
	}
	_ = w.Flush()
}

func mounts() {
	for _, dir := range []string{"/mnt/a b", "/mnt/a b/c"} {
		_ = os.MkdirAll(dir, 0o755)
		fmt.Println(syscall.Mount("tmpfs", dir, "tmpfs", 0, ""))
	}
	_ = os.Chdir("/mnt/a b/c")
	cmd := exec.Command("/proc/self/exe", "deaf") // its directory is busy
	fmt.Println(cmd.Start())
}

// world shows what a program finds.
func world() {
	dir, _ := os.Getwd()
	host, _ := os.Hostname()
	fmt.Println("args", os.Args[1:], "dir", dir, "host", host, "X", os.Getenv("X"), "pgid", syscall.Getpgrp() == os.Getpid())
	for _, path := range []string{"/proc/self", "/sys/kernel", "/dev/null", "/dev/fd", "/tmp", "/run", "/dev/shm", "/dev/ptmx", "/etc/passwd", "/mnt/a b/c", "/root"} {
		_, err := os.Stat(path)
		fmt.Println(path, err == nil)
	}
	sysctl, _ := os.ReadFile("/proc/sys/kernel/panic")
	fmt.Printf("kernel.panic %s", sysctl)
}
