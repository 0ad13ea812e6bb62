package counter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// tracing is where the kernel offers its tracer (Documentation/trace/ftrace.rst).
const tracing = "/sys/kernel/tracing"

// group is that of the probes.
const group = "copied"

// A probe is at a routine that copies as many bytes as size says when it is
// called.
type probe struct {
	name, routine string
	size          string // as kprobe_events calls it; "" is a page
}

// probes are at all routines of x86-64 that copy memory out of line.
func probes() []probe {
	return []probe{
		{"user", "rep_movs_alternative", "%cx"}, // copy_to_user and copy_from_user, arch/x86/lib/copy_user_64.S
		{"memcpy", "memcpy", "%dx"},
		{"memmove", "memmove", "%dx"},
		{"uncached", "copy_to_nontemporal", "%dx"},
		{"page", "copy_page", ""},
	}
}

// Copied counts copied bytes. It can be used again after Stop.
type Copied struct{ probes []probe }

// NewCopied sets the probes up, switched off, until the test ends. It returns
// nil on a kernel that cannot be probed, and fails the test when the counter
// does not count what is known to be copied.
func NewCopied(t testing.TB) *Copied {
	t.Helper()
	err := unix.Mount("tracefs", tracing, "tracefs", 0, "")
	if err != nil && !errors.Is(err, unix.EBUSY) {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		t.Fatalf("mount tracefs: %v", err)
	}
	if _, err := os.Stat(filepath.Join(tracing, "kprobe_events")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c := &Copied{}
	for _, p := range probes() {
		if c.add(t, p) {
			c.probes = append(c.probes, p)
		}
	}
	t.Cleanup(func() { c.remove(t) })
	c.prove(t)
	return c
}

// add makes a probe; false when the kernel has no such routine.
func (c *Copied) add(t testing.TB, p probe) bool {
	t.Helper()
	line := fmt.Sprintf("p:%s/%s %s", group, p.name, p.routine)
	if p.size != "" {
		line += " size=" + p.size + ":u64"
	}
	err := appendTo("kprobe_events", line)
	if errors.Is(err, unix.ENOENT) && p.name != "memcpy" && p.name != "user" {
		return false
	}
	if err != nil {
		t.Fatalf("probe %s (see package counter for the kernel that this needs): %v", p.routine, err)
	}
	return true
}

func (c *Copied) remove(t testing.TB) {
	t.Helper()
	for _, p := range c.probes {
		if err := appendTo("kprobe_events", "-:"+group+"/"+p.name); err != nil {
			t.Errorf("remove probe %s: %v", p.name, err)
		}
	}
}

// file is one of p's event.
func (p *probe) file(name string) string { return filepath.Join("events", group, p.name, name) }

// histogram is p's trigger: sums by process, for sums alone do not exist.
func (p *probe) histogram() string {
	if p.size == "" {
		return "hist:keys=common_pid:size=2048"
	}
	return "hist:keys=common_pid:vals=size:size=2048"
}

// Start begins to count from 0. Everything in the guest is slower until Stop.
func (c *Copied) Start(t testing.TB) {
	t.Helper()
	for _, p := range c.probes {
		if err := appendTo(p.file("trigger"), p.histogram()); err != nil {
			t.Fatalf("count %s: %v", p.routine, err)
		}
	}
}

// Stop ends counting and returns the bytes that were copied since Start, by
// whomever.
func (c *Copied) Stop(t testing.TB) uint64 {
	t.Helper()
	var all uint64
	for _, p := range c.probes {
		data, err := os.ReadFile(filepath.Join(tracing, p.file("hist")))
		if err != nil {
			t.Fatal(err)
		}
		n, err := p.sum(string(data))
		if err != nil {
			t.Fatalf("histogram of %s: %v", p.routine, err)
		}
		all += n
		if err := appendTo(p.file("trigger"), "!"+p.histogram()); err != nil {
			t.Fatalf("stop counting %s: %v", p.routine, err)
		}
	}
	return all
}

var (
	sizes   = regexp.MustCompile(`(?m)^\{.*\} hitcount: +(\d+)(?: +size: +(\d+))?`)
	dropped = regexp.MustCompile(`(?m)^ +Dropped: 0$`)
)

// sum reads a histogram (Documentation/trace/histogram.rst).
func (p *probe) sum(hist string) (uint64, error) {
	if !dropped.MatchString(hist) {
		return 0, fmt.Errorf("not whole: %.200q", hist)
	}
	var all uint64
	for _, m := range sizes.FindAllStringSubmatch(hist, -1) {
		text, unit := m[2], uint64(1)
		if p.size == "" {
			text, unit = m[1], uint64(os.Getpagesize())
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, err
		}
		all += n * unit
	}
	return all, nil
}

// appendTo writes a line to a file of tracefs.
func appendTo(name, line string) error {
	f, err := os.OpenFile(filepath.Join(tracing, name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// known is how many bytes prove copies, noise how many may be copied beside.
const (
	known = 4 << 20
	noise = known / 100
)

// prove counts copies whose size is known: read(2) brings a file to a program
// by one copy, sendfile(2) brings it to another file by one within the kernel,
// and splice(2) to nowhere by none.
func (c *Copied) prove(t testing.TB) {
	t.Helper()
	file, buf := memfile(t), make([]byte, known)
	if _, err := file.WriteAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	other := memfile(t)
	for _, x := range []struct {
		what string
		want uint64
		do   func() error
	}{
		{"read(2)", known, func() error { _, err := file.ReadAt(buf, 0); return err }},
		{"sendfile(2) to a file", known, func() error { return sendAll(other, file) }},
		{"sendfile(2) to nowhere", 0, func() error { return sendAll(null(t), file) }},
	} {
		c.Start(t)
		err := x.do()
		got := c.Stop(t)
		if err != nil {
			t.Fatalf("%s: %v", x.what, err)
		}
		if got < x.want || got > x.want+noise {
			t.Fatalf("%s copies %d bytes, and %d were counted: is the guest deterministic?", x.what, x.want, got)
		}
	}
}

// memfile is an empty file in memory.
func memfile(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("known", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "known")
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func null(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// sendAll sends known bytes.
func sendAll(to, from *os.File) error {
	for off := int64(0); off < known; {
		n, err := unix.Sendfile(int(to.Fd()), int(from.Fd()), &off, known-int(off))
		if err != nil || n == 0 {
			return fmt.Errorf("at %d: %d bytes, %w", off, n, err)
		}
	}
	return nil
}
